import { connect } from "node:net";
import { type ConnectRouter, createRouterTransport } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { openDoor, targetOf } from "./fixture/door.ts";
import { thingService } from "./transcode/fixture/things.ts";

type Door = Awaited<ReturnType<typeof openDoor>>;
let door: Door;
afterEach(() => door.close().catch(() => undefined));

describe("the gateway at its stop", () => {
  it("answers what is in flight, then takes nothing more", async () => {
    const { promise: held, resolve } = Promise.withResolvers<void>();
    const routes = (router: ConnectRouter): void => {
      router.service(ScanService, {
        getScan: async ({ scanId }) => {
          await held;
          return { scan: { id: scanId } };
        },
      });
    };
    door = await openDoor({ routes, services: [ScanService] });
    door.world.keys.set("all", { scopes: ["admin"] });
    const answer = door.get("/v1/scans/scan_1", { headers: { "x-api-key": "all" } });
    await expect.poll(() => door.world.calls).toContain("authenticate");
    const closed = door.close();
    resolve();
    expect((await answer).status).toBe(200);
    await closed;
    await expect(door.get("/livez")).rejects.toThrow();
  });

  it("closes connections that only wait", async () => {
    door = await openDoor();
    const socket = connect(door.port, "127.0.0.1");
    socket.write("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
    await new Promise((next) => socket.once("data", next));
    const ended = new Promise((next) => socket.once("end", next));
    await door.close();
    await ended;
  });

  it("brings the last touches to intake", async () => {
    door = await openDoor();
    door.world.targets.set("abc123", targetOf({ destination: "https://example.com/" }));
    const { promise: held, resolve } = Promise.withResolvers<never>();
    door.world.failing.set("recordTouches", () => held);
    await door.get("/s/abc123");
    const closed = door.close();
    resolve(undefined as never);
    await closed;
    expect(door.world.touches).toHaveLength(1);
    expect(door.pendingTouches()).toBe(0);
  });
});

describe("the gateway", () => {
  it("does not start with a contract that cannot be served, and says why", async () => {
    await expect(openDoor({ services: [ScanService, ScanService] })).rejects.toThrow(/both take GET \/v1\/scans/);
  });

  it("tells browsers to stay with https when its public address is https", async () => {
    door = await openDoor({ config: { publicUrl: "https://go.example" } });
    expect((await door.get("/livez")).headers.get("strict-transport-security")).toBe("max-age=31536000");
  });

  it("answers the same when it is traced", async () => {
    door = await openDoor({ config: { otlpEndpoint: "http://127.0.0.1:9" } });
    door.world.targets.set("abc123", targetOf({ destination: "https://example.com/" }));
    const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    expect((await door.get("/livez", { headers })).status).toBe(200);
    expect((await door.get("/s/abc123", { headers })).status).toBe(302);
    expect((await door.get("/v1/nothing", { headers })).status).toBe(404);
  });

  it("serves its OpenAPI document with a tag, packed for who takes it", async () => {
    door = await openDoor({ services: [ScanService], config: { publicUrl: "https://go.example" } });
    const response = await door.get("/openapi.json");
    expect(await response.json()).toMatchObject({ openapi: "3.1.0", servers: [{ url: "https://go.example" }] });
    expect(response.headers.get("content-encoding")).toBe("gzip");
    const etag = response.headers.get("etag") as string;
    expect((await door.get("/openapi.json", { headers: { "if-none-match": etag } })).status).toBe(304);
    const plain = await door.get("/openapi.json", { headers: { "accept-encoding": "identity" } });
    expect(plain.headers.has("content-encoding")).toBe(false);
    expect(await plain.json()).toMatchObject({ openapi: "3.1.0" });
  });

  it("serves a streaming method as events, until the client goes away or it stops", async () => {
    const watch = async function* () {
      yield { thing: { thingId: "thing_1" } };
      await new Promise((next) => setTimeout(next, 60_000).unref());
    };
    const streams = createRouterTransport((router) => router.service(thingService, { watch } as never));
    door = await openDoor({
      services: [thingService],
      transport: (local) => ({ unary: local.unary, stream: streams.stream }),
    });
    door.world.keys.set("all", { scopes: ["admin"] });
    const response = await door.get("/v1/things:watch", { headers: { "x-api-key": "all" } });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = response.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toMatch(/^data: \{.*"thing_1".*\}\n\n$/);
    await door.close();
    expect((await reader?.read())?.done).toBe(true);
  });
});
