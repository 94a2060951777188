import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import type { contextOf } from "../context.ts";
import { fail, reasonOf } from "../failure.ts";
import { as, internalContext } from "../internal.ts";
import type { Logger } from "../logger.ts";
import { rpcDuration } from "../telemetry.ts";
import { clientsOver } from "./clients.ts";
import { createInProcessTransport } from "./in-process.ts";
import { ORDER, serverInterceptors } from "./interceptors.ts";
import { bindMethods } from "./methods.ts";

/** A logger that remembers what it was given. */
function openLog() {
  const lines: { level: string; fields: Record<string, unknown> }[] = [];
  const write = (level: string) => (fields: Record<string, unknown>) => void lines.push({ level, fields });
  const log = { isLevelEnabled: () => true, debug: write("debug"), error: write("error") } as unknown as Logger;
  return { lines, log };
}

/** A key service of one handler, as a server hosts it. */
function host(createKey: (handler: Parameters<typeof contextOf>[0] & { signal: AbortSignal }) => Promise<object>) {
  const { lines, log } = openLog();
  const methods = bindMethods(
    (router) => router.service(KeyService, { createKey: (_request, handler) => createKey(handler) as never }),
    serverInterceptors(log),
  );
  const client = clientsOver(() => createInProcessTransport(methods))(KeyService);
  return { client, lines };
}

const caller = as(internalContext("acme", { requestId: "req_7" }));
const sound = { name: "x", scopes: ["codes:read"] };
const told = (error: unknown) => ({ reason: reasonOf(error)?.reason, code: ConnectError.from(error).code });

it("stand in this order, outermost first", () => {
  expect(ORDER).toEqual(["trace", "log", "errors", "deadline", "principal", "validate"]);
});

describe("the order shows", () => {
  it("in that a stranger learns nothing from validation", async () => {
    const { client } = host(async () => ({}));
    const error = await client.createKey({}, {}).catch((e: unknown) => e);
    expect(told(error)).toEqual({ reason: "UNAUTHENTICATED", code: Code.Unauthenticated });
  });

  it("in that the log sees refusals of a stranger, of validation and of a handler", async () => {
    const { client, lines } = host(() => Promise.reject(fail("PERMISSION_DENIED", { scope: "x" })));
    for (const attempt of [client.createKey({}, {}), client.createKey({}, caller), client.createKey(sound, caller)])
      await attempt.catch(() => undefined);
    expect(lines.map(({ level, fields }) => [level, fields.rpc, fields.code])).toEqual([
      ["debug", "waymark.access.v1.KeyService/CreateKey", "Unauthenticated"],
      ["debug", "waymark.access.v1.KeyService/CreateKey", "InvalidArgument"],
      ["debug", "waymark.access.v1.KeyService/CreateKey", "PermissionDenied"],
    ]);
  });

  it("in that the log sees the final code of what nobody foresaw", async () => {
    const { client, lines } = host(() => Promise.reject(new TypeError("boom")));
    await client.createKey(sound, caller).catch(() => undefined);
    expect(lines.map(({ level, fields }) => [level, fields.code])).toEqual([
      ["error", undefined],
      ["debug", "Internal"],
    ]);
  });

  it("in that the log sees the end of a handler that never ends", async () => {
    const { client, lines } = host(() => new Promise(() => {}));
    const error = await client.createKey(sound, { ...caller, timeoutMs: 5 }).catch((e: unknown) => e);
    expect(told(error)).toEqual({ reason: "DEADLINE", code: Code.DeadlineExceeded });
    expect(lines.map(({ fields }) => fields.code)).toEqual(["DeadlineExceeded"]);
  });

  it("in that metrics count every call by its code", async () => {
    rpcDuration.reset();
    const { client } = host(async () => ({}));
    await client.createKey(sound, caller);
    await client.createKey({}, caller).catch(() => undefined);
    const { values } = await rpcDuration.get();
    const counts = values.filter(({ metricName }) => metricName?.endsWith("_count"));
    expect(counts.map(({ labels, value }) => [labels.code, value])).toEqual([
      ["ok", 1],
      ["InvalidArgument", 1],
    ]);
  });
});

describe("what nobody foresaw", () => {
  it.each([
    ["an Error", new Error("password=hunter2 at 10.0.0.5")],
    ["a text", "password=hunter2 at 10.0.0.5"],
    ["undefined", undefined],
    ["an abort of our own", new DOMException("hunter2", "AbortError")],
  ])("is INTERNAL with the request's id, and no word of its cause: %s", async (_case, thrown) => {
    const { client, lines } = host(() => Promise.reject(thrown));
    const error = (await client.createKey(sound, caller).catch((e: unknown) => e)) as ConnectError;
    expect(told(error)).toEqual({ reason: "INTERNAL", code: Code.Internal });
    expect(error.rawMessage).toBe("something went wrong on our side; request req_7");
    expect(JSON.stringify([error.message, reasonOf(error)])).not.toContain("hunter2");
    expect(lines[0]).toMatchObject({ level: "error", fields: { requestId: "req_7" } });
  });

  it("is in the log with its stack", async () => {
    const { client, lines } = host(() => Promise.reject(new RangeError("boom")));
    await client.createKey(sound, caller).catch(() => undefined);
    expect(lines[0]?.fields.stack).toMatch(/RangeError: boom\n\s+at /);
  });

  it("thrown at once, not as a promise, is INTERNAL too", async () => {
    const { client } = host(() => {
      throw new Error("boom");
    });
    expect(told(await client.createKey(sound, caller).catch((e: unknown) => e)).reason).toBe("INTERNAL");
  });
});

it("a time limit inside the handler is a deadline, not a fault of ours", async () => {
  const { client, lines } = host(() => Promise.reject(new DOMException("slow", "TimeoutError")));
  expect(told(await client.createKey(sound, caller).catch((e: unknown) => e)).reason).toBe("DEADLINE");
  expect(lines.map(({ level }) => level)).toEqual(["debug"]);
});

it("a caller that goes away ends the call as cancelled, in the log too", async () => {
  const gone = new AbortController();
  const seen: AbortSignal[] = [];
  const { client, lines } = host(({ signal }) => {
    seen.push(signal);
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  });
  const running = client.createKey(sound, { ...caller, signal: gone.signal }).catch((e: unknown) => e);
  await Promise.resolve();
  gone.abort();
  expect(told(await running).code).toBe(Code.Canceled);
  expect(seen[0]?.aborted).toBe(true);
  expect(lines.map(({ level, fields }) => [level, fields.code])).toEqual([["debug", "Canceled"]]);
});

it("a refusal passes as it is, with its details", async () => {
  const { client } = host(() => Promise.reject(fail("INVALID_FIELD", { field: "scopes[0]", must: "must be known" })));
  const error = await client.createKey(sound, caller).catch((e: unknown) => e);
  expect(reasonOf(error)).toMatchObject({ reason: "INVALID_FIELD", metadata: { field: "scopes[0]" } });
});

it("a method of another service is not served", async () => {
  const { lines, log } = openLog();
  const transport = createInProcessTransport(bindMethods(() => {}, serverInterceptors(log)));
  const error = await clientsOver(() => transport)(AuthorityService)
    .getSettings({}, { contextValues: createContextValues() })
    .catch((e: unknown) => e);
  expect(told(error).code).toBe(Code.Unimplemented);
  expect(lines).toEqual([]);
});
