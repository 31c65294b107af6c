/** Roles as processes of their own, which can be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from '#test/harness/free-port.ts';
import { TOKEN } from './stack.ts';
import { until } from '#test/harness/until.ts';

const ENTRIES = {
  all: 'services/all/main.ts',
  api: 'services/api/main.ts',
  worker: 'workers/main.ts',
  scheduler: 'workers/scheduler/main.ts',
} as const;

export type RoleProcess = {
  url: string;
  pid: number;
  output(): string;
  /** Sends the signal and waits for the end; resolves with the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | string>;
  ended: Promise<number | string>;
};

export async function startRole(
  role: keyof typeof ENTRIES,
  settings: Record<string, string>,
  stack: AsyncDisposableStack,
  expectReady = true,
): Promise<RoleProcess> {
  const port = settings['PORT'] ?? String(await freePort());
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: '/tmp',
    LOG_LEVEL: 'warn',
    OPERATOR_TOKEN: TOKEN,
    PARTITIONS: '4',
    ...settings,
    PORT: port,
  };
  const child: ChildProcess = spawn(process.execPath, [ENTRIES[role]], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  const end = async (signal: NodeJS.Signals): Promise<number | string> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return ended;
  };
  stack.defer(async () => void (await end('SIGKILL')));
  const url = `http://127.0.0.1:${port}`;
  if (expectReady)
    await until(`${role} is ready`, async () => {
      if (child.exitCode !== null) throw new Error(`${role} ended at once:\n${output}`);
      return fetch(`${url}/readyz`).then(
        (reply) => reply.status === 200,
        () => false,
      );
    });
  return { url, pid: child.pid ?? 0, output: () => output, end, ended };
}
