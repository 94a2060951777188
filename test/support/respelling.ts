import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A way to a NATS server on which one word that clients send is spelled otherwise, at the same length: the server does not know it then. */
export async function startRespelling(
  url: string,
  { from, to }: { from: string; to: string },
): Promise<{ url: string; stop: () => Promise<void> }> {
  if (from.length !== to.length) throw new Error("the words must have the same length");
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
    }
    client.on("data", (data) => upstream.write(Buffer.from(data.toString("latin1").replaceAll(from, to), "latin1")));
    upstream.pipe(client);
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `nats://127.0.0.1:${(server.address() as { port: number }).port}`,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
