/** A TCP proxy in front of a server, whose connections can be cut. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type FaultProxy = { port: number; cut(): void; refuse(refused: boolean): void };

export async function startFaultProxy(targetPort: number, stack: AsyncDisposableStack): Promise<FaultProxy> {
  const open = new Set<Socket>();
  let refused = false;
  const server = createServer((near) => {
    if (refused) {
      near.destroy();
      return;
    }
    const far = connect(targetPort, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        open.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  stack.defer(() => {
    server.close();
    cut();
  });
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    refuse(value) {
      refused = value;
      if (value) cut();
    },
  };
}
