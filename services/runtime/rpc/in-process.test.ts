import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import {
  AppendAuditRequestSchema,
  AuthenticateResponseSchema,
  AuthorityService,
} from "#gen/waymark/access/v1/authority_pb.ts";
import { contextOf, forward } from "../context.ts";
import { fail, reasonOf } from "../failure.ts";
import { as, internalContext } from "../internal.ts";
import { openLogger } from "../logger.ts";
import { clientsOver } from "./clients.ts";
import { createInProcessTransport } from "./in-process.ts";
import { serverInterceptors } from "./interceptors.ts";
import { bindMethods } from "./methods.ts";

function host(implementation: object) {
  const methods = bindMethods(
    (router) => router.service(AuthorityService, implementation),
    serverInterceptors(openLogger("silent")),
  );
  const transport = createInProcessTransport(methods);
  return { transport, client: clientsOver(() => transport)(AuthorityService) };
}

const context = internalContext("acme", { requestId: "req_7", ip: "192.0.2.7", userAgent: "curl" });
const caller = as(context);

describe("a call within the process", () => {
  it("brings the caller's context, the very same one", async () => {
    let seen: unknown;
    const { client } = host({
      getSettings: (_request: unknown, handler: HandlerContext) => {
        seen = contextOf(handler);
        return {};
      },
    });
    await client.getSettings({}, caller);
    expect(seen).toBe(context);
  });

  it("hands a message over as it is, and makes one from plain fields", async () => {
    const seen: unknown[] = [];
    const { client } = host({
      appendAudit: (request: unknown) => {
        seen.push(request);
        return {};
      },
    });
    const message = create(AppendAuditRequestSchema, { items: [{ action: "a" }] });
    await client.appendAudit(message, caller);
    await client.appendAudit({ items: [{ action: "b" }] }, caller);
    expect(seen[0]).toBe(message);
    expect(seen[1]).toEqual(create(AppendAuditRequestSchema, { items: [{ action: "b" }] }));
  });

  it("completes a reply of plain fields", async () => {
    const { client } = host({ authenticate: async () => ({ keyId: "key_1" }) });
    expect(await client.authenticate({ key: "x" }, caller)).toEqual(
      create(AuthenticateResponseSchema, { keyId: "key_1" }),
    );
  });

  it("keeps the details of a refusal", async () => {
    const { client } = host({
      authenticate: () => {
        throw fail("INVALID_FIELD", { field: "ip", must: "must be an address" });
      },
    });
    const error = (await client.authenticate({ key: "x" }, caller).catch((e: unknown) => e)) as ConnectError;
    expect(error.code).toBe(Code.InvalidArgument);
    expect(reasonOf(error)).toMatchObject({ reason: "INVALID_FIELD", domain: "waymark", metadata: { field: "ip" } });
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
      { field: "ip", description: "ip must be an address" },
    ]);
  });

  it("to a method without handler is unimplemented", async () => {
    const error = await host({})
      .client.getSettings({}, caller)
      .catch((e: unknown) => e);
    expect(ConnectError.from(error)).toMatchObject({
      code: Code.Unimplemented,
      rawMessage: "waymark.access.v1.AuthorityService/GetSettings is not served here",
    });
  });

  it("passes headers both ways", async () => {
    const { client } = host({
      getSettings: (_request: unknown, handler: HandlerContext) => {
        handler.responseHeader.set("etag", `"${handler.requestHeader.get("if-range")}"`);
        return {};
      },
    });
    let etag: string | null = null;
    const onHeader = (headers: Headers) => {
      etag = headers.get("etag");
    };
    await client.getSettings({}, { ...caller, headers: { "If-Range": "7" }, onHeader });
    expect(etag).toBe('"7"');
  });

  it("inside a call has its context and ends with it", async () => {
    const ends: string[] = [];
    const { client } = host({
      appendAudit: async (_request: unknown, handler: HandlerContext) => {
        await client.getSettings({}, forward(handler)).catch((error: unknown) => {
          ends.push(`inner ${reasonOf(error)?.reason} of ${contextOf(handler).requestId}`);
        });
        return {};
      },
      getSettings: () => new Promise(() => {}),
    });
    const error = await client.appendAudit({}, { ...caller, timeoutMs: 10 }).catch((e: unknown) => e);
    ends.push(`outer ${reasonOf(error)?.reason}`);
    await new Promise((resolve) => setImmediate(resolve));
    expect(ends.sort()).toEqual(["inner DEADLINE of req_7", "outer DEADLINE"]);
  });
});

it("streams are refused as a promise, not at once", async () => {
  const { transport } = host({});
  const streaming = transport.stream(
    AuthorityService.method.getSettings as never,
    undefined,
    undefined,
    undefined,
    [] as never,
  );
  await expect(streaming).rejects.toThrow("streams are not served here");
});

it("two handlers of one method stop the start", () => {
  const twice = () =>
    bindMethods((router) => {
      router.service(AuthorityService, { getSettings: () => ({}) });
      router.rpc(AuthorityService.method.getSettings, () => ({}));
    }, []);
  expect(twice).toThrow("waymark.access.v1.AuthorityService/GetSettings has two handlers");
});

it("handlers may use `this`", async () => {
  class Settings {
    readonly timezone = "Asia/Tokyo";
    getSettings() {
      return { timezone: this.timezone };
    }
  }
  const { client } = host(new Settings());
  expect((await client.getSettings({}, caller)).timezone).toBe("Asia/Tokyo");
});

it("a client is made once a service, and asks for its transport at each call", async () => {
  const { transport } = host({ getSettings: () => ({ timezone: "UTC" }) });
  let asked = 0;
  const client = clientsOver(() => {
    asked += 1;
    return transport;
  });
  expect(client(AuthorityService)).toBe(client(AuthorityService));
  expect(asked).toBe(0);
  await client(AuthorityService).getSettings({}, caller);
  await client(AuthorityService).getSettings({}, caller);
  expect(asked).toBe(2);
});
