import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { CodeService } from "#gen/waymark/codes/v1/codes_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { reasonOf } from "#runtime/failure.ts";
import { clientsOver } from "#runtime/rpc/clients.ts";
import type { GrpcServer } from "#runtime/rpc/grpc-server.ts";
import { openPeers } from "#runtime/rpc/peers.ts";
import { fromStatus } from "#runtime/rpc/status.ts";
import { openSecrets } from "#runtime/secrets.ts";
import { type AccessGround, newFolder, openAccessGround } from "../test/support/access-ground.ts";
import { bound, closeAll, until, watchHealth } from "../test/support/grpc-ground.ts";
import { serveGrpc } from "./grpc.ts";

const folder = newFolder();
let ground: AccessGround;
let server: GrpcServer;
let client: Client;
beforeAll(async () => {
  ground = await openAccessGround(folder.path, { adminKey: "admin-key-one-0123456789" });
  const config = { host: "127.0.0.1", grpcPort: 0 };
  const secrets = openSecrets({ data: folder.path, tagKey: undefined });
  server = (await serveGrpc({ config, hosted: ground, secrets })) as GrpcServer;
  client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await server.close(1_000);
  await ground.stop();
  folder.remove();
});

interface Rpc {
  parent: { typeName: string };
  name: string;
  input: typeof KeyService.method.listKeys.input;
  output: typeof KeyService.method.listKeys.output;
}

/** A call as any gRPC client makes it: what comes back, or the reason of the refusal. */
function call(rpc: unknown, metadata: Record<string, string>, request: object = {}): Promise<unknown> {
  const { parent, name, input, output } = rpc as Rpc;
  const sent = new Metadata();
  for (const [key, value] of Object.entries(metadata)) sent.set(key, value);
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      `/${parent.typeName}/${name}`,
      (message: object) => Buffer.from(toBinary(input, create(input, message))),
      (bytes: Buffer) => fromBinary(output, bytes),
      request,
      sent,
      (error: ServiceError | null, value: unknown) => {
        const refusal = error && fromStatus(error);
        resolve(refusal === null ? value : (reasonOf(refusal)?.reason ?? `code ${refusal.code}`));
      },
    );
  });
}

const make = async (given: object) => {
  const wanted = { name: "x", scopes: ["keys:read"], ...given };
  return (await ground.client(KeyService).createKey(wanted, ground.by())).secret;
};
const { listKeys, listScopes, createKey } = KeyService.method;
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

describe("a key over gRPC", () => {
  it.each(["authorization", "x-api-key", "x-distinct-api-key"])("goes in %s", async (name) => {
    const key = await make({});
    const metadata = { [name]: name === "authorization" ? `Bearer ${key}` : key };
    expect(await call(listKeys, metadata)).toMatchObject({ keys: expect.any(Array) });
  });

  it("opens its own workspace, with its id in the trail of what it makes", async () => {
    const key = await make({ scopes: ["keys:read", "keys:write"] });
    const made = (await call(createKey, bearer(key), { name: "y", scopes: ["keys:read"] })) as {
      key: { createdBy: string };
    };
    const { keys } = await ground.client(KeyService).listKeys({}, ground.by());
    expect(keys.map(({ id }) => id)).toContain(made.key.createdBy);
  });

  it("that is missing, empty or unknown is refused", async () => {
    const attempts: Record<string, string>[] = [
      {},
      bearer(""),
      { "x-api-key": "" },
      { authorization: "Basic x" },
      bearer("wmk_unknown"),
    ];
    const refusals = await Promise.all(attempts.map((metadata) => call(listKeys, metadata)));
    expect(refusals).toEqual(Array(5).fill("UNAUTHENTICATED"));
  });

  it("without the scope is refused, naming it; admin passes all", async () => {
    expect(await call(listKeys, bearer(await make({ scopes: ["codes:read"] })))).toBe("PERMISSION_DENIED");
    expect(await call(CodeService.method.listCodes, bearer(await make({})))).toBe("PERMISSION_DENIED");
    expect(await call(listKeys, bearer("admin-key-one-0123456789"))).toMatchObject({ keys: [{ id: "key_admin" }] });
  });

  it("that is revoked is refused at once", async () => {
    const { key, secret } = await ground
      .client(KeyService)
      .createKey({ name: "x", scopes: ["keys:read"] }, ground.by());
    expect(await call(listKeys, bearer(secret))).toBeTypeOf("object");
    await ground.client(KeyService).deleteKey({ keyId: key?.id }, ground.by());
    expect(await call(listKeys, bearer(secret))).toBe("KEY_REVOKED");
  });

  it("is held to its allow-list by the address of the connection", async () => {
    expect(await call(listKeys, bearer(await make({ ipAllowList: ["127.0.0.0/8"] })))).toBeTypeOf("object");
    expect(await call(listKeys, bearer(await make({ ipAllowList: ["192.0.2.0/24"] })))).toBe("ADDRESS_NOT_ALLOWED");
  });

  it("for browsers does not work", async () => {
    const key = await make({ class: "publishable", scopes: ["scans:write"], origins: ["https://a.example"] });
    expect(await call(listScopes, bearer(key))).toBe("ORIGIN_NOT_ALLOWED");
  });
});

it("what REST gives to anyone is given to any key, and to nobody without", async () => {
  expect(await call(listScopes, bearer(await make({ scopes: ["codes:read"] })))).toMatchObject({
    scopes: expect.any(Array),
  });
  expect(await call(listScopes, {})).toBe("UNAUTHENTICATED");
});

it("no key opens what is internal, and a forged envelope no door", async () => {
  const { getSettings } = AuthorityService.method;
  expect(await call(getSettings, bearer("admin-key-one-0123456789"))).toBe("code 12");
  expect(await call(getSettings, { "waymark-envelope": "e30.AAAA" })).toBe("UNAUTHENTICATED");
  expect(await call(getSettings, { ...bearer("admin-key-one-0123456789"), "waymark-envelope": "" })).toBe(
    "UNAUTHENTICATED",
  );
});

it("knows the address of a caller over IPv6", async () => {
  const config = { host: "::1", grpcPort: 0 };
  const over6 = await serveGrpc({ config, hosted: ground, secrets: { key: () => Buffer.alloc(32) } });
  const before = client;
  client = new Client(`[::1]:${over6?.port}`, credentials.createInsecure());
  const allowed = await call(listKeys, bearer(await make({ ipAllowList: ["::1"] })));
  const refused = await call(listKeys, bearer(await make({ ipAllowList: ["2001:db8::/32"] })));
  client.close();
  client = before;
  await over6?.close(1_000);
  expect([typeof allowed, refused]).toEqual(["object", "ADDRESS_NOT_ALLOWED"]);
});

it("health follows what is ready, and what cannot be asked is not", async () => {
  let ready = async () => ({ ready: true });
  const server = await serveGrpc({
    config: { host: "127.0.0.1", grpcPort: 0 },
    hosted: ground,
    secrets: { key: () => Buffer.alloc(32) },
    ready: () => ready(),
    everyMs: 5,
  });
  const words = watchHealth(server?.port as number, "");
  await until(() => words.length === 1);
  ready = async () => ({ ready: false });
  await until(() => words.length === 2);
  ready = async () => ({ ready: true });
  await until(() => words.length === 3);
  ready = () => Promise.reject(new Error("away"));
  await until(() => words.length === 4);
  await closeAll();
  await server?.close(500);
  expect(words.slice(0, 4)).toEqual(["SERVING", "NOT_SERVING", "SERVING", "NOT_SERVING"]);
});

it("of a service that is not access has keys resolved by access, over gRPC, and says how it is by its own name", async () => {
  const secrets = { key: () => Buffer.alloc(32, 3) };
  const config = { host: "127.0.0.1", grpcPort: 0 };
  const access = await serveGrpc({ config, hosted: ground, secrets });
  const peers = openPeers({ peers: new Map([["access", `ipv4:127.0.0.1:${access.port}`]]), key: secrets.key() });
  const seen: string[] = [];
  const methods = bound((router) =>
    router.service(CodeService, {
      listCodes: (_request, handler) => {
        seen.push(contextOf(handler).principal.workspace);
        return {};
      },
    }),
  );
  const hosted = { methods, client: clientsOver(peers.transportOf) };
  const codes = await serveGrpc({ config, hosted, secrets, names: ["codes"] });
  const before = client;
  client = new Client(`127.0.0.1:${codes.port}`, credentials.createInsecure());
  const { key, secret } = await ground.client(KeyService).createKey({ name: "x", scopes: ["codes:read"] }, ground.by());
  const answers = [await call(CodeService.method.listCodes, bearer(secret))];
  await ground.client(KeyService).deleteKey({ keyId: key?.id }, ground.by());
  answers.push(await call(CodeService.method.listCodes, bearer(secret)));
  const words = watchHealth(codes.port, "codes");
  await until(() => words.length === 1);
  await access.close(500);
  answers.push(await call(CodeService.method.listCodes, bearer("wmk_x")));
  client.close();
  client = before;
  await closeAll();
  await codes.close(500);
  peers.close();
  expect(answers).toEqual([expect.any(Object), "KEY_REVOKED", "code 14"]);
  expect([seen.length, words[0]]).toEqual([1, "SERVING"]);
});

it("is closed when no port is set", async () => {
  const config = { host: "127.0.0.1", grpcPort: undefined };
  const secrets = { key: () => Buffer.alloc(32) };
  expect(await serveGrpc({ config, hosted: ground, secrets })).toBeUndefined();
});

it("a handler's refusal keeps its details", async () => {
  const key = await make({ scopes: ["keys:read", "keys:write"] });
  expect(await call(createKey, bearer(key), { name: "y", scopes: ["tags:read"] })).toBe("SCOPE_NOT_HELD");
});
