/** The servers behind a connection: one, or the masters of a cluster. */
import { untilReady, type Client } from './client.ts';
import { Cluster, Command, type Redis } from 'ioredis';

/** The server that holds a key, as far as is known; it may have moved since. */
export async function masterOf(client: Client, key: string): Promise<Redis> {
  if (!(client instanceof Cluster)) return client;
  const name = client.slots[new Command('exists', [key]).getSlot() ?? 0]?.[0];
  const node = client.nodes('master').find(({ options }) => `${options.host}:${options.port}` === name);
  if (node === undefined) {
    client.refreshSlotsCache();
    throw new Error("Cluster isn't ready: its node for a key is not known");
  }
  // Connections to nodes are made when they're first used.
  if (node.status === 'wait') await node.connect();
  else await untilReady(node);
  return node;
}

/** What each of the servers says of itself. */
export async function infoOf(client: Client, ...sections: string[]): Promise<string[]> {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client];
  return Promise.all(nodes.map((node) => node.info(...sections)));
}
