/** A Redis behind TLS, with a certificate of its own making: the server's own TLS where it has any, else a proxy. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { DURABLE, freePorts, type LocalServer, startServer } from './local-servers.ts';

export type TlsRedis = { url: string; server: LocalServer; ca: string; by: 'redis-server' | 'a proxy' };

export async function startTlsRedis(stack: AsyncDisposableStack): Promise<TlsRedis> {
  const dir = mkdtempSync(join(tmpdir(), 'choir-tls-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const key = join(dir, 'key.pem');
  const ca = join(dir, 'cert.pem');
  makeCertificate(key, ca);
  const [port = 0] = await freePorts(1);
  const tls = { 'tls-port': String(port), 'tls-cert-file': ca, 'tls-key-file': key, 'tls-auth-clients': 'no' };
  try {
    const server = await startServer({ ...DURABLE, ...tls }, stack);
    return { url: `rediss://127.0.0.1:${port}`, server, ca, by: 'redis-server' };
  } catch (error) {
    // Built without TLS, it doesn't know the settings.
    if (!/tls-port|Bad directive|TLS/i.test(String(error))) throw error;
  }
  const server = await startServer(DURABLE, stack);
  const proxy = await startTlsProxy(server.port, readFileSync(key), readFileSync(ca), stack);
  return { url: `rediss://127.0.0.1:${proxy}`, server, ca, by: 'a proxy' };
}

function makeCertificate(key: string, cert: string): void {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, '-days', '2', ...subject], {
    stdio: 'ignore',
  });
}

async function startTlsProxy(to: number, key: Buffer, cert: Buffer, stack: AsyncDisposableStack): Promise<number> {
  const server = createServer({ key, cert }, (near) => {
    const far = connect(to, '127.0.0.1');
    for (const socket of [near, far]) {
      socket.on('error', () => {});
      socket.on('close', () => {
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(() => void server.close());
  return (server.address() as AddressInfo).port;
}
