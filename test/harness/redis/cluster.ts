/** A Redis Cluster of six local servers, three masters with a replica each; nodes can be killed and slots moved. */
import { Command } from 'ioredis';
import { DURABLE, freePorts, type LocalServer, startServer } from './local-servers.ts';
import { until } from '#test/harness/until.ts';

const MASTERS = 3;
const SLOTS = 16_384;
/** A node that is silent this long is taken for dead. */
const NODE_TIMEOUT_MS = 2_000;
const KEYS_AT_ONCE = 50;
const MIGRATE_WITHIN_MS = 5_000;

type Node = LocalServer & { id: string };

export type TestCluster = {
  url: string;
  nodes: readonly Node[];
  slotOf(key: string): number;
  /** The master that holds a slot now. */
  masterOf(slot: number): Promise<Node>;
  /** Kills the master that holds a slot, and resolves with it when its replica has taken over. */
  failOver(slot: number): Promise<Node>;
  /** Moves a slot with all its keys to another master, key by key as `redis-cli --cluster reshard` does; how many it had. */
  move(slot: number, to: Node): Promise<number>;
  /** Every slot is served and every master has its replica. */
  whole(): Promise<void>;
};

export async function startCluster(stack: AsyncDisposableStack): Promise<TestCluster> {
  const ports = await freePorts(4 * MASTERS);
  const nodes = await Promise.all(
    Array.from({ length: 2 * MASTERS }, async (_, i): Promise<Node> => {
      const server = await startServer(
        {
          ...DURABLE,
          port: String(ports[2 * i]),
          'cluster-port': String(ports[2 * i + 1]),
          'cluster-enabled': 'yes',
          'cluster-node-timeout': String(NODE_TIMEOUT_MS),
          // However long a replica was cut off: it has all that was acknowledged, or nothing was.
          'cluster-replica-validity-factor': '0',
        },
        stack,
      );
      return { ...server, id: await server.client.cluster('MYID') };
    }),
  );
  const masters = nodes.slice(0, MASTERS);
  await form(nodes, masters, ports);

  const slotOf = (key: string): number => new Command('exists', [key]).getSlot() ?? 0;

  /** By its own word: what others say of it may be old. A node that hangs or is dead says nothing. */
  const masterOf = (slot: number): Promise<Node> =>
    Promise.any(
      nodes.map(async (node) => {
        if (node.client.status !== 'ready') throw new Error('it is down');
        const rows = await node.client.cluster('SLOTS');
        if (!rows.some(([from, to, master]) => from <= slot && slot <= to && master?.[2] === node.id))
          throw new Error(`slot ${slot} is another's`);
        return node;
      }),
    );

  const whole = async (): Promise<void> => {
    await until('the cluster is whole', async () => {
      const states = await Promise.all(nodes.map(({ client }) => client.cluster('INFO') as Promise<string>));
      if (!states.every((state) => state.includes('cluster_state:ok'))) return false;
      const roles = await Promise.all(nodes.map(({ client }) => client.info('replication')));
      const linked = roles.filter((role) => /role:slave/.test(role) && /master_link_status:up/.test(role));
      const followed = roles.filter((role) => /role:master/.test(role) && /connected_slaves:1/.test(role));
      return linked.length === MASTERS && followed.length === MASTERS;
    });
  };
  await whole();

  return {
    url: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    slotOf,
    masterOf,
    whole,
    async failOver(slot) {
      const master = await masterOf(slot);
      await master.crash();
      await until('its replica has taken over', () => masterOf(slot).catch(() => null));
      return master;
    },
    async move(slot, to) {
      const from = await masterOf(slot);
      if (from.id === to.id) return 0;
      let moved = 0;
      await to.client.cluster('SETSLOT', slot, 'IMPORTING', from.id);
      await from.client.cluster('SETSLOT', slot, 'MIGRATING', to.id);
      for (;;) {
        const keys = await from.client.cluster('GETKEYSINSLOT', slot, KEYS_AT_ONCE);
        if (keys.length === 0) break;
        moved += keys.length;
        await from.client.call('MIGRATE', '127.0.0.1', to.port, '', 0, MIGRATE_WITHIN_MS, 'KEYS', ...keys);
      }
      // The new owner first: were the old one told first, the slot would for a moment belong to nobody.
      await to.client.cluster('SETSLOT', slot, 'NODE', to.id);
      await from.client.cluster('SETSLOT', slot, 'NODE', to.id);
      return moved;
    },
  };
}

async function form(nodes: readonly Node[], masters: readonly Node[], ports: readonly number[]): Promise<void> {
  const share = SLOTS / MASTERS;
  for (const [i, { client }] of masters.entries()) {
    await client.cluster('SET-CONFIG-EPOCH', i + 1);
    await client.call('CLUSTER', 'ADDSLOTSRANGE', Math.round(i * share), Math.round((i + 1) * share) - 1);
  }
  const [first, ...others] = nodes;
  for (const i of others.keys())
    await first?.client.call('CLUSTER', 'MEET', '127.0.0.1', String(ports[2 * i + 2]), String(ports[2 * i + 3]));
  await until('all nodes know one another', async () => {
    const views = await Promise.all(nodes.map(({ client }) => client.cluster('NODES') as Promise<string>));
    return views.every((view) => nodes.every(({ id }) => view.includes(`${id} `)) && !/handshake/.test(view));
  });
  for (const [i, { client }] of nodes.slice(MASTERS).entries()) {
    const master = masters[i];
    if (master !== undefined) await client.cluster('REPLICATE', master.id);
  }
}
