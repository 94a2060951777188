import { Code, createClient } from "@connectrpc/connect";
import { credentials } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { caught, closeAll, closing, eventually, KEY, serve } from "../../../test/support/grpc-ground.ts";
import { fail, reasonOf } from "../failure.ts";
import { as, internalContext } from "../internal.ts";
import { createAffineTransport, type Lookup, rankOf } from "./affinity.ts";
import type { GrpcServer } from "./grpc-server.ts";

afterEach(closeAll);

const of = (workspace: string) => as(internalContext(workspace));

/** Replicas that tell who answered, and a client of them all. */
async function replicas(count: number, answer: (name: string) => object | Promise<object> = () => ({})) {
  const servers: GrpcServer[] = [];
  const handlers = (name: string) => ({ getSettings: async () => ({ timezone: name, ...(await answer(name)) }) });
  for (let index = 0; index < count; index += 1) servers.push(await serve(handlers(String(index))));
  const addresses = servers.map(({ port }) => `ipv4:127.0.0.1:${port}`);
  const target = `ipv4:${servers.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
  const transport = createAffineTransport({ target, key: KEY, credentials: credentials.createInsecure() });
  closing.push(transport.close);
  const client = createClient(AuthorityService, transport);
  const ask = async (workspace: string) => (await client.getSettings({}, of(workspace))).timezone;
  return { servers, addresses, client, ask, handlers };
}

/** The replicas in the order of a workspace. */
const orderOf = (workspace: string, addresses: readonly string[]) =>
  addresses
    .map((address, index) => ({ name: String(index), rank: rankOf(workspace, address) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ name }) => name);

describe("calls of a workspace", () => {
  it("go to its replica, each time, and workspaces spread over all", async () => {
    const { addresses, ask } = await replicas(3);
    const workspaces = Array.from({ length: 30 }, (_, index) => `ws_${index}`);
    const answered = new Set<string>();
    for (const workspace of [...workspaces, ...workspaces]) {
      const name = await ask(workspace);
      expect(name).toBe(orderOf(workspace, addresses)[0]);
      answered.add(name);
    }
    expect(answered.size).toBe(3);
  });

  it("go to its next replica while its own is away, and come back with it", async () => {
    const { servers, addresses, ask, handlers } = await replicas(3);
    const [own, next] = orderOf("acme", addresses) as [string, string];
    expect(await ask("acme")).toBe(own);
    const { port, close } = servers[Number(own)] as GrpcServer;
    await close(0);
    expect([await ask("acme"), await ask("acme")]).toEqual([next, next]);
    await serve(handlers(own), `127.0.0.1:${port}`);
    await eventually(async () => (await ask("acme")) === own);
  });

  it("that may not be repeated are made once", async () => {
    const { servers, addresses, client } = await replicas(2);
    const own = servers[Number(orderOf("acme", addresses)[0])] as GrpcServer;
    await own.close(0);
    const error = await caught(client.appendAudit({}, of("acme")));
    expect(error.code).toBe(Code.Unavailable);
  });

  it("that a replica refuses as too much are not brought to the next", async () => {
    const asked: string[] = [];
    const { client } = await replicas(2, (name) => {
      asked.push(name);
      throw fail("OVERLOADED");
    });
    expect(reasonOf(await caught(client.getSettings({}, of("acme"))))?.reason).toBe("OVERLOADED");
    expect(asked).toHaveLength(1);
  });
});

describe("a name", () => {
  const byName = (lookup: Lookup, port: number) => {
    const target = `dns:///analytics.example:${port}`;
    const transport = createAffineTransport({ target, key: KEY, credentials: credentials.createInsecure(), lookup });
    closing.push(transport.close);
    return createClient(AuthorityService, transport);
  };

  it("is asked for all its addresses", async () => {
    const { port } = await serve({ getSettings: () => ({ timezone: "UTC" }) });
    const asked: string[] = [];
    const lookup: Lookup = async (host) => {
      asked.push(host);
      return ["127.0.0.1", "127.0.0.1"];
    };
    const client = byName(lookup, port);
    expect((await client.getSettings({}, of("acme"))).timezone).toBe("UTC");
    await client.getSettings({}, of("acme"));
    expect(asked).toEqual(["analytics.example"]);
  });

  it("that has no address yet is asked again while the call waits", async () => {
    const { port } = await serve({ getSettings: () => ({ timezone: "UTC" }) });
    let times = 0;
    const lookup: Lookup = async () => {
      times += 1;
      if (times < 3) throw new Error("ENOTFOUND");
      return ["127.0.0.1"];
    };
    expect((await byName(lookup, port).getSettings({}, of("acme"))).timezone).toBe("UTC");
  });

  it("that is nowhere is UNAVAILABLE in some seconds, without its name", async () => {
    const client = byName(() => Promise.reject(new Error("ENOTFOUND analytics.example")), 1);
    const error = await caught(client.getSettings({}, { ...of("acme"), timeoutMs: 1_000 }));
    expect([error.code, error.rawMessage]).toEqual([
      Code.Unavailable,
      "a part of Waymark does not answer; try again shortly",
    ]);
  });

  it("that is no target is refused at the start", () => {
    const given = { key: KEY, credentials: credentials.createInsecure() };
    expect(() => createAffineTransport({ target: "unix:/tmp/x", ...given })).toThrow("must be dns:///name:port");
  });
});
