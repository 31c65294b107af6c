/** The streams of those that listen to events. */
import { PassThrough } from 'node:stream';
import { ProblemError } from '#wire/operator/problem.ts';

const KEEP_ALIVE_MS = 15_000;
const MAX_STREAMS = 256;
/** A client that has left more than this unread is let go: it reconnects and starts from what is. */
const MAX_UNREAD = 1024 * 1024;

/** `first`: bytes that it was sent to begin with; it may take its time to read them. */
type Listener = { stream: PassThrough; release: string | undefined; first: number };

export type Listeners = ReturnType<typeof createListeners>;

export function createListeners(stack: AsyncDisposableStack) {
  const listeners = new Set<Listener>();
  let streams = 0;

  function write(listener: Listener, text: string): void {
    const { stream, first } = listener;
    // What is written now counts as unread at once, however fast its reader is.
    if (stream.writableLength > MAX_UNREAD + first) stream.end();
    if (stream.writableEnded || stream.destroyed) listeners.delete(listener);
    else stream.write(text);
  }

  const timer = setInterval(() => listeners.forEach((listener) => write(listener, ': still here\n\n')), KEEP_ALIVE_MS);
  timer.unref();
  stack.defer(() => clearInterval(timer));

  return {
    size: (): number => listeners.size,

    refuseTooMany(): void {
      if (streams >= MAX_STREAMS) throw new ProblemError('unavailable', 'too many listen to events already');
    },

    /** `release`: only of this one; `text`: what it is sent to begin with. */
    add(release: string | undefined, text: string): PassThrough {
      const stream = new PassThrough();
      const listener = { stream, release, first: Buffer.byteLength(text) };
      listeners.add(listener);
      streams++;
      stream.on('close', () => {
        listeners.delete(listener);
        streams--;
      });
      stream.write(text);
      return stream;
    },

    send(release: string, text: string): void {
      for (const listener of listeners)
        if (listener.release === undefined || listener.release === release) write(listener, text);
    },

    close: (): void => listeners.forEach(({ stream }) => stream.end()),
  };
}
