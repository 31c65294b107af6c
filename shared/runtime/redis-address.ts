/** Where Redis is, by REDIS_URL or the path of a Unix socket: one server, a cluster, or a master that Sentinels watch. */

/** A URL, or the path of a Unix socket (with `unix://` before it where it's a setting). */
export type RedisAddress = string;

export type HostPort = { host: string; port: number };
export type Credentials = { username?: string; password?: string };

export type RedisTarget =
  | { kind: 'url'; url: string }
  | { kind: 'socket'; path: string }
  | { kind: 'cluster'; nodes: HostPort[]; credentials: Credentials }
  | { kind: 'sentinel'; sentinels: HostPort[]; name: string; credentials: Credentials };

const NODES = /^redis\+(cluster|sentinel):\/\/(?:([^@/]*)@)?([^@/]+)(?:\/([^/]*))?$/;
const DEFAULT_PORT = { cluster: '6379', sentinel: '26379' } as const;

/** Throws a sentence about the address, to be read behind "REDIS_URL". */
export function parseAddress(address: RedisAddress): RedisTarget {
  if (/^rediss?:\/\//.test(address)) return { kind: 'url', url: address };
  if (!address.startsWith('redis+')) return { kind: 'socket', path: address.replace(/^unix:\/\//, '') };
  const [, kind, login = '', list = '', name = ''] = NODES.exec(address) ?? [];
  if (kind !== 'cluster' && kind !== 'sentinel')
    throw new Error('is redis+cluster://h:p,h:p or redis+sentinel://h:p,h:p/name');
  const credentials = parseLogin(login);
  const nodes = list.split(',').map((node) => parseNode(node, DEFAULT_PORT[kind]));
  if (kind === 'cluster') return { kind, nodes, credentials };
  if (name === '') throw new Error("needs the master's name behind the Sentinels: redis+sentinel://h:p,h:p/name");
  return { kind, sentinels: nodes, name: decodeURIComponent(name), credentials };
}

export const isClusterAddress = (address: RedisAddress): boolean => address.startsWith('redis+cluster://');

function parseNode(node: string, defaultPort: string): HostPort {
  const { hostname, port } = URL.parse(`redis://${node}`) ?? { hostname: '', port: '' };
  if (hostname === '') throw new Error(`names a node that is no host:port: "${node}"`);
  return { host: hostname, port: Number(port || defaultPort) };
}

function parseLogin(login: string): Credentials {
  const at = login.indexOf(':');
  const [username, password] = at === -1 ? [login, ''] : [login.slice(0, at), login.slice(at + 1)];
  return {
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
  };
}
