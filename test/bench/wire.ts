import { connect, type Socket } from "node:net";

/** One keep-alive HTTP/1.1 connection that sends prepared bytes: the generator must not cost more than what it measures. */
export interface Wire {
  /** Sends one prepared request and resolves with status and body. One at a time. */
  send: (request: Buffer) => Promise<{ status: number; body: Buffer }>;
  close: () => void;
}

/** A request as bytes. */
export function prepare(request: {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: string;
}): Buffer {
  const body = Buffer.from(request.body ?? "");
  const headers = {
    host: "localhost",
    ...request.headers,
    ...(body.length > 0 ? { "content-length": body.length } : {}),
  };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${request.method} ${request.path} HTTP/1.1\r\n${head.join("")}\r\n`), body]);
}

/** Opens a connection to a port of this machine. */
export async function openWire(port: number): Promise<Wire> {
  const socket: Socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  let waiting:
    | { resolve: (answer: { status: number; body: Buffer }) => void; reject: (error: Error) => void }
    | undefined;
  let received: Buffer = Buffer.alloc(0);
  const fail = (error: Error): void => {
    waiting?.reject(error);
    waiting = undefined;
  };
  socket.on("error", fail).on("close", () => fail(new Error("the connection was closed")));
  socket.on("data", (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const answer = parse(received);
    if (answer === undefined || waiting === undefined) return;
    received = received.subarray(answer.size);
    const { resolve } = waiting;
    waiting = undefined;
    resolve(answer);
  });
  return {
    send: (request) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        socket.write(request);
      }),
    close: () => socket.destroy(),
  };
}

/** A whole answer at the start of what was received, or undefined while it is not whole. Bodies have a length. */
function parse(received: Buffer): { status: number; body: Buffer; size: number } | undefined {
  const end = received.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = received.toString("latin1", 0, end);
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  const size = end + 4 + length;
  if (received.length < size) return undefined;
  return { status: Number(head.slice(9, 12)), body: received.subarray(end + 4, size), size };
}
