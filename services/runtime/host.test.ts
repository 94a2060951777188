import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { readConfig } from "./config.ts";
import { contextOf, forward, requestContextKey } from "./context.ts";
import { type Ground, hostServices } from "./host.ts";
import { as, internalContext, internalPrincipal, newId } from "./internal.ts";
import { openLogger } from "./logger.ts";
import { defineService, type ServiceDefinition } from "./service.ts";

const ground: Ground = {
  config: readConfig({}),
  store: {} as Ground["store"],
  log: {} as Ground["log"],
  secrets: { key: () => Buffer.alloc(32) },
  logger: openLogger("silent"),
  announce: () => undefined,
};
const service = (given: Partial<ServiceDefinition> & { name: string }) =>
  defineService({ collections: [], calls: [], publishes: [], consumes: [], routes: () => undefined, ...given });

describe("hosted services", () => {
  it("call each other with the caller's context", async () => {
    const asker = service({
      name: "asker",
      routes: (router, { client }) =>
        router.service(KeyService, {
          getKey: async (_request, handler) => {
            const { timezone } = await client(AuthorityService).getSettings({}, forward(handler));
            return { key: { name: timezone } };
          },
        }),
    });
    const asked = service({
      name: "asked",
      routes: (router) =>
        router.service(AuthorityService, {
          getSettings: (_request, handler) => ({ timezone: contextOf(handler).principal.workspace }),
        }),
    });
    const { client } = await hostServices([asker, asked], ground);
    expect((await client(KeyService).getKey({}, as(internalContext("acme")))).key?.name).toBe("acme");
  });

  it("start in order and stop in reverse, and say how they are", async () => {
    const happened: string[] = [];
    const background = (name: string, gauge: number) =>
      service({
        name,
        start: async () => {
          happened.push(`${name} starts`);
          return { stop: async () => void happened.push(`${name} stops`), gauges: () => ({ behind: gauge }) };
        },
      });
    const hosted = await hostServices([background("a", 1), service({ name: "idle" }), background("b", 2)], ground);
    expect(hosted.gauges()).toEqual({ "a.behind": 1, "b.behind": 2 });
    await hosted.stop();
    expect(happened).toEqual(["a starts", "b starts", "b stops", "a stops"]);
  });

  it("are stopped when one of them does not start", async () => {
    const happened: string[] = [];
    const good = service({ name: "a", start: async () => ({ stop: async () => void happened.push("a stops") }) });
    const bad = service({ name: "b", start: () => Promise.reject(new Error("no disk")) });
    await expect(hostServices([good, bad], ground)).rejects.toThrow("no disk");
    expect(happened).toEqual(["a stops"]);
  });

  it("are all stopped although one of them fails at that", async () => {
    const happened: string[] = [];
    const good = service({ name: "a", start: async () => ({ stop: async () => void happened.push("a stops") }) });
    const bad = service({ name: "b", start: async () => ({ stop: () => Promise.reject(new Error("stuck")) }) });
    const { stop } = await hostServices([good, bad], ground);
    await expect(stop()).rejects.toThrow("stuck");
    expect(happened).toEqual(["a stops"]);
  });

  it("can call at their start", async () => {
    let found = "";
    const asked = service({
      name: "asked",
      routes: (router) => router.service(AuthorityService, { getSettings: () => ({ timezone: "UTC" }) }),
      start: async ({ client }) => {
        found = (await client(AuthorityService).getSettings({}, as(internalContext("acme")))).timezone;
        return { stop: async () => undefined };
      },
    });
    await hostServices([asked], ground);
    expect(found).toBe("UTC");
  });

  it("that are not here are called where they are, or not at all", async () => {
    const { client } = await hostServices([], ground);
    const error = await client(AuthorityService)
      .getSettings({}, as(internalContext("acme")))
      .catch((e: unknown) => e);
    expect(ConnectError.from(error).code).toBe(Code.Unimplemented);
    const asked: string[] = [];
    const remote = ({ typeName }: { typeName: string }): Transport => ({
      unary: (method) => Promise.reject(new Error(asked.push(`${typeName}/${method.name}`).toString())),
      stream: () => Promise.reject(new Error("no")),
    });
    const far = await hostServices([], { ...ground, remote });
    await far
      .client(AuthorityService)
      .getSettings({}, as(internalContext("acme")))
      .catch(() => undefined);
    expect(asked).toEqual(["waymark.access.v1.AuthorityService/GetSettings"]);
  });
});

describe("Waymark's own calls", () => {
  it("carry an internal principal of a workspace, a fresh request id and the clock", () => {
    const context = internalContext("acme");
    expect(context.principal).toEqual(internalPrincipal("acme"));
    expect(context.principal).toMatchObject({
      workspace: "acme",
      keyClass: "internal",
      scopes: ["admin"],
      test: false,
    });
    expect(context.requestId).toMatch(/^req_[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(internalContext("acme").requestId).not.toBe(context.requestId);
    expect(Math.abs(context.now() - Date.now())).toBeLessThan(1000);
    expect(as(context).contextValues?.get(requestContextKey)).toBe(context);
  });

  it("draw ids that sort as they were made", () => {
    const ids = Array.from({ length: 5_000 }, () => newId("x"));
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(5_000);
  });
});
