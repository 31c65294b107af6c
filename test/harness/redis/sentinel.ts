/** A master with replicas, and three Sentinels that watch it: local servers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DURABLE, freePorts, type LocalServer, startServer } from './local-servers.ts';
import { until } from '#test/harness/until.ts';

const SENTINELS = 3;
const QUORUM = 2;
const DOWN_AFTER_MS = 2_000;
const NAME = 'choir';

export type Pair = { master: LocalServer; replica: LocalServer };

const isLinked = async ({ client }: LocalServer): Promise<boolean> =>
  /master_link_status:up/.test(await client.info('replication'));

/** A master and its replica, which has caught up. */
export async function startPair(stack: AsyncDisposableStack): Promise<Pair> {
  const master = await startServer(DURABLE, stack);
  const replica = await startServer({ ...DURABLE, replicaof: `127.0.0.1 ${master.port}` }, stack);
  await until('the replica has caught up', () => isLinked(replica));
  return { master, replica };
}

export type Watched = Pair & {
  url: string;
  /** Kills the master and resolves when the Sentinels have made the replica the master. */
  failOver(): Promise<void>;
};

export async function startWatched(stack: AsyncDisposableStack): Promise<Watched> {
  const pair = await startPair(stack);
  const dir = mkdtempSync(join(tmpdir(), 'choir-sentinel-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const sentinels = await Promise.all(
    (await freePorts(SENTINELS)).map((port) => {
      // A Sentinel keeps what it knows in its file.
      const file = join(dir, `${port}.conf`);
      writeFileSync(
        file,
        `sentinel monitor ${NAME} 127.0.0.1 ${pair.master.port} ${QUORUM}
sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}
sentinel failover-timeout ${NAME} 10000
`,
      );
      return startServer({ port: String(port) }, stack, [file, '--sentinel']);
    }),
  );
  const ask = async ({ client }: LocalServer): Promise<Map<string, string>> => {
    const flat = (await client.call('SENTINEL', 'MASTER', NAME)) as string[];
    return new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] ?? '']] : [])));
  };
  await until('the Sentinels know one another and the replica', async () => {
    const views = await Promise.all(sentinels.map(ask));
    return views.every(
      (view) => view.get('num-slaves') === '1' && view.get('num-other-sentinels') === String(SENTINELS - 1),
    );
  });
  return {
    ...pair,
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`,
    async failOver() {
      await pair.master.crash();
      await until('the replica has taken over', async () => {
        const views = await Promise.all(sentinels.map(ask));
        const role = await pair.replica.client.info('replication');
        return role.includes('role:master') && views.every((view) => view.get('port') === String(pair.replica.port));
      });
    },
  };
}
