/**
 * What commands a Redis gets, by its own word. Over a plain socket: a Redis client loses count of its replies when the
 * first line of MONITOR overtakes the answer to it.
 */
import { once } from 'node:events';
import { connect } from 'node:net';

const LINE = /^\+[\d.]+ \[\d+ ([^\]]+)\] (.*)$/;

/** The arguments of every command that came while `work` ran. What a script does inside is part of the one call. */
export async function commandsDuring(port: number, work: () => Promise<unknown>): Promise<string[][]> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const commands: string[][] = [];
  let rest = '';
  let seen: (text: string) => void = () => {};
  const until = (text: string): Promise<void> =>
    new Promise((resolve) => {
      seen = (line) => {
        if (line.includes(text)) resolve();
      };
    });
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\r\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [, source, text = ''] = LINE.exec(line) ?? [];
      if (source !== undefined && source !== 'lua')
        commands.push([...text.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, argument = '']) => argument));
      seen(line);
    }
  });
  const started = until('+OK');
  socket.write('MONITOR\r\n');
  await started;
  await work();
  // Everything that was sent before this has been seen when this is.
  const other = connect(port, '127.0.0.1');
  const last = `last-${Math.random()}`;
  const isSeen = until(last);
  other.write(`ECHO ${last}\r\n`);
  await isSeen;
  other.destroy();
  socket.destroy();
  return commands.filter((command) => !command.includes(last));
}
