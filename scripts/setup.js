#!/usr/bin/env node
// npm run setup: makes sure that a Redis server can be found. Builds nothing, and does nothing where there is one.
import { execFileSync, spawnSync } from 'node:child_process';

const MIN_NODE = [24, 12];
const SERVERS = ['redis-server', 'valkey-server'];

const found = (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const say = (text) => process.stdout.write(`${text}\n`);

function fail(text) {
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

function run(command, args) {
  say(`$ ${command} ${args.join(' ')}`);
  execFileSync(command, args, { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < MIN_NODE[0] || (major === MIN_NODE[0] && minor < MIN_NODE[1]))
  fail(
    `Node ${MIN_NODE.join('.')} or newer is needed and this is ${process.version}: install it, or run "npm ci" again without omitting optional packages`,
  );

const server = SERVERS.find(found);
if (process.env.REDIS_URL) say('REDIS_URL is set: nothing to do');
else if (server !== undefined) say(`${server} is on the path: nothing to do`);
else {
  const root = process.getuid?.() === 0;
  const sudo = !root && spawnSync('sudo', ['-n', 'true']).status === 0;
  const asRoot = (command, args) => (root ? run(command, args) : run('sudo', ['-n', command, ...args]));
  try {
    if (found('apt-get') && (root || sudo)) {
      asRoot('apt-get', ['update']);
      asRoot('apt-get', ['install', '-y', '--no-install-recommends', 'redis-server']);
    } else if (found('brew')) run('brew', ['install', 'redis']);
    else
      fail('No Redis server was found: install redis or valkey with your system’s package manager, or set REDIS_URL.');
  } catch (error) {
    fail(
      `A Redis server could not be installed (${error.message}): install redis or valkey yourself, or set REDIS_URL.`,
    );
  }
  if (!SERVERS.some(found))
    fail('The package was installed, but no redis-server is on the path: add its folder to PATH, or set REDIS_URL.');
}
