import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { caller, caught, closeAll, connect, serve, until, watchHealth } from "../../../test/support/grpc-ground.ts";

afterEach(closeAll);

describe("a server that is away", () => {
  it("is told without its address", async () => {
    const { port, close } = await serve({ getSettings: () => ({}) });
    await close(0);
    const error = await caught(connect(port).appendAudit({}, caller));
    expect([error.code, error.rawMessage]).toEqual([
      Code.Unavailable,
      "a part of Waymark does not answer; try again shortly",
    ]);
  });

  it("and comes back within the second answers an idempotent call that was made meanwhile", async () => {
    const first = await serve({ getSettings: () => ({ timezone: "first" }) });
    const client = connect(first.port);
    expect((await client.getSettings({}, caller)).timezone).toBe("first");
    await first.close(0);
    const asked = client.getSettings({}, { ...caller, timeoutMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 400));
    await serve({ getSettings: () => ({ timezone: "second" }) }, `127.0.0.1:${first.port}`);
    expect((await asked).timezone).toBe("second");
  });

  it("and stays away fails an idempotent call in some seconds, and any other at once", async () => {
    const { port, close } = await serve({ getSettings: () => ({}) });
    await close(0);
    const took = async (call: (client: ReturnType<typeof connect>) => Promise<unknown>) => {
      const begun = performance.now();
      expect((await caught(call(connect(port)))).code).toBe(Code.Unavailable);
      return performance.now() - begun;
    };
    expect(await took((client) => client.appendAudit({}, caller))).toBeLessThan(500);
    expect(await took((client) => client.getSettings({}, caller))).toBeLessThan(6_000);
  });

  it("stops the start of another on its port, saying which", async () => {
    const { port } = await serve({ getSettings: () => ({}) });
    await expect(serve({ getSettings: () => ({}) }, `127.0.0.1:${port}`)).rejects.toThrow(String(port));
  });
});

/** A handler that goes on until it is told to end. */
function held() {
  const calls: (() => void)[] = [];
  const getSettings = () => new Promise((resolve) => calls.push(() => resolve({ timezone: "late" })));
  return { calls, getSettings };
}

describe("health", () => {
  it("is SERVING, then NOT_SERVING at the close, for the server and each service", async () => {
    const { calls, getSettings } = held();
    const { port, close } = await serve({ getSettings });
    const watches = ["", "waymark.access.v1.AuthorityService"].map((name) => watchHealth(port, name));
    const running = connect(port).getSettings({}, caller);
    await until(() => calls.length === 1 && watches.every((words) => words.length === 1));
    const closed = close(500);
    await until(() => watches.every((words) => words.length >= 2));
    expect(watches.map((words) => words.slice(0, 2))).toEqual(Array(2).fill(["SERVING", "NOT_SERVING"]));
    for (const end of calls) end();
    expect((await running).timezone).toBe("late");
    await closed;
  });

  it("follows what it is told", async () => {
    const { port, setServing } = await serve({ getSettings: () => ({}) });
    const words = watchHealth(port, "");
    await until(() => words.length === 1);
    setServing(false);
    await until(() => words.length === 2);
    setServing(true);
    await until(() => words.length === 3);
    expect(words).toEqual(["SERVING", "NOT_SERVING", "SERVING"]);
  });
});

/** One answer of grpc.health.v1, as a probe asks for it. */
const health = async (port: number, service: string) => {
  const words = watchHealth(port, service);
  await until(() => words.length === 1);
  return words[0];
};

describe("health by name", () => {
  it("answers for the server, each proto service and each name that it was given", async () => {
    const { port, setServing } = await serve({ getSettings: () => ({}) }, "127.0.0.1:0", { names: ["access"] });
    const names = ["", "waymark.access.v1.AuthorityService", "access"];
    const all = () => Promise.all(names.map((name) => health(port, name)));
    expect(await all()).toEqual(Array(3).fill("SERVING"));
    setServing(false);
    expect(await all()).toEqual(Array(3).fill("NOT_SERVING"));
  });

  it("of `live` follows nothing, and of another name is not known", async () => {
    const { port, setServing } = await serve({ getSettings: () => ({}) });
    setServing(false);
    expect([await health(port, "live"), await health(port, "scans")]).toEqual(["SERVING", "SERVICE_UNKNOWN"]);
  });

  it("says NOT_SERVING for a moment in which calls are still taken, and no more SERVING", async () => {
    const { port, close, setServing } = await serve({ getSettings: () => ({ timezone: "UTC" }) }, "127.0.0.1:0", {
      noticeMs: 300,
    });
    const client = connect(port);
    const words = watchHealth(port, "");
    await until(() => words.length === 1);
    const closed = close(5_000);
    await until(() => words.length === 2);
    setServing(true);
    expect((await client.getSettings({}, caller)).timezone).toBe("UTC");
    await closed;
    expect(words.slice(0, 3)).toEqual(["SERVING", "NOT_SERVING", "closed"]);
  });
});

describe("limits", () => {
  it("bound the calls at once on a connection: more wait, and all are answered", async () => {
    let running = 0;
    let most = 0;
    const getSettings = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 20));
      running -= 1;
      return { timezone: "UTC" };
    };
    const { port } = await serve({ getSettings }, "127.0.0.1:0", { maxConcurrentStreams: 2 });
    const client = connect(port);
    await client.getSettings({}, caller);
    const all = await Promise.all(Array.from({ length: 8 }, () => client.getSettings({}, caller)));
    expect([all.length, most]).toEqual([8, 2]);
  });

  it("refuse a message beyond 32 MiB each way, and the server goes on", async () => {
    const large = "x".repeat(33 * 1024 * 1024);
    const { port } = await serve({ getSettings: () => ({ timezone: large }), appendAudit: () => ({}) });
    const client = connect(port);
    const refusals = [client.appendAudit({ items: [{ action: large }] }, caller), client.getSettings({}, caller)];
    const codes = await Promise.all(refusals.map(async (refusal) => (await caught(refusal)).code));
    expect(codes).toEqual([Code.ResourceExhausted, Code.ResourceExhausted]);
    await client.appendAudit({}, caller);
  });
});

describe("closing", () => {
  it("lets a running call end and takes no new one", async () => {
    const { calls, getSettings } = held();
    const { port, close } = await serve({ getSettings });
    const client = connect(port);
    const running = client.getSettings({}, caller);
    await until(() => calls.length === 1);
    const begun = performance.now();
    const closed = close(10_000);
    expect((await caught(client.appendAudit({}, caller))).code).toBe(Code.Unavailable);
    for (const end of calls) end();
    expect((await running).timezone).toBe("late");
    await closed;
    expect(performance.now() - begun).toBeLessThan(5_000);
  });

  it("ends a call that does not end, at the limit", async () => {
    const { calls, getSettings } = held();
    const { port, close } = await serve({ getSettings });
    const running = caught(connect(port).getSettings({}, { ...caller, timeoutMs: 3_000 }));
    await until(() => calls.length === 1);
    const begun = performance.now();
    await close(200);
    expect(performance.now() - begun).toBeLessThan(1_500);
    expect([Code.Unavailable, Code.Canceled, Code.DeadlineExceeded]).toContain(ConnectError.from(await running).code);
  });

  it("ends the watches of health, which else would hold it up", async () => {
    const { port, close } = await serve({ getSettings: () => ({}) });
    const words = watchHealth(port, "");
    await until(() => words.length === 1);
    const begun = performance.now();
    await close(10_000);
    expect(performance.now() - begun).toBeLessThan(1_000);
  });

  it("of an idle server with clients that stay connected takes no time", async () => {
    const { port, close } = await serve({ getSettings: () => ({}) });
    await connect(port).getSettings({}, caller);
    const begun = performance.now();
    await close(10_000);
    expect(performance.now() - begun).toBeLessThan(1_000);
  });

  it("twice is as once", async () => {
    const { close } = await serve({ getSettings: () => ({}) });
    await Promise.all([close(1_000), close(1_000)]);
    await close(1_000);
  });
});
