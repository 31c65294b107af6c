import { type Logger, pino } from 'pino';

export type { Logger };

/** One JSON line per event on standard error; standard output is for people. */
export function createLog(role: string, level: string): Logger {
  return pino({ level, base: { role, pid: process.pid } }, pino.destination({ dest: 2, sync: true }));
}
