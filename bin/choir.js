#!/usr/bin/env node
// Runs the CLI under a Node that runs TypeScript: this one, or the one that npm ci has put beside it.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const main = fileURLToPath(new URL('./main.ts', import.meta.url));
if (major > 24 || (major === 24 && minor >= 12)) await import(main);
else {
  const own = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
  if (!existsSync(own)) {
    process.stderr.write(`choir needs Node 24.12 or newer, and this is ${process.version}: run "npm ci"\n`);
    process.exit(1);
  }
  const child = spawn(own, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A signal to this process is meant for the CLI; one from the terminal reaches both.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(signal === null ? code : 1));
}
