import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type NatsServer, natsMissing, startNats } from "../../test/support/nats-server.ts";
import { serversOf } from "./nats/servers.ts";
import { type Nats, openNats } from "./nats.ts";

it("takes addresses and users apart, so that nothing of them is in what the client says", () => {
  expect(serversOf(["nats://way%40mark:p%3Ass@one:4333", "nats://way%40mark:p%3Ass@two"])).toEqual({
    servers: ["one:4333", "two:4222"],
    user: "way@mark",
    pass: "p:ss",
  });
  expect(serversOf(["nats://token@[::1]:4222"])).toEqual({ servers: ["[::1]:4222"], token: "token" });
  expect(serversOf(["tls://host"])).toEqual({ servers: ["host:4222"], tls: {} });
});

describe.skipIf(natsMissing())("a connection to NATS", () => {
  let server: NatsServer;
  beforeEach(async () => {
    server = await startNats({ config: 'authorization { user: way, password: "s3cret" }' });
  });
  afterEach(() => server.stop());
  const open = (user = "way:s3cret"): Promise<Nats> =>
    openNats({ urls: [server.url.replace("nats://", `nats://${user}@`)], name: "test" });

  it("says that the user is refused, without user, password or address", async () => {
    const error = await open("way:wr0ng").catch((error: unknown) => error);
    expect(String(error)).toContain("NATS refuses this user");
    const { port } = new URL(server.url);
    expect(JSON.stringify([String(error), (error as Error).cause, (error as Error).stack])).not.toMatch(
      new RegExp(`wr0ng|way:|127\\.0\\.0\\.1|${port}`),
    );
  });

  it("waits at the start for a server that comes later", async () => {
    await server.kill("SIGKILL");
    const opening = open();
    await server.restart();
    const nats = await opening;
    expect(nats.isUp()).toBe(true);
    await nats.close();
    expect(nats.isUp()).toBe(false);
  });

  it("knows when the server is gone, hangs, and is there again", async () => {
    const nats = await open();
    let lost = 0;
    nats.onLost(() => {
      lost += 1;
    });
    await server.kill("SIGKILL");
    await expect.poll(nats.isUp).toBe(false);
    expect(lost).toBe(1);
    expect(await nats.untilUp(10)).toBe(false);
    const up = nats.untilUp(10_000);
    await server.restart();
    expect(await up).toBe(true);
    await server.kill("SIGSTOP");
    await expect.poll(nats.isUp, { timeout: 3500 }).toBe(false);
    await server.kill("SIGCONT");
    expect(await nats.untilUp(10_000)).toBe(true);
    await nats.close();
  });

  it("carries gossip to all others, never back, and keeps none for later", async () => {
    const [one, two, three] = await Promise.all([open(), open(), open()]);
    const heard: string[] = [];
    const hear = (name: string) => (payload: Uint8Array) => void heard.push(`${name} ${Buffer.from(payload)}`);
    const stop = two.gossip.hear("limits", hear("two"));
    one.gossip.hear("limits", hear("one"));
    three.gossip.hear("limits", hear("three"));
    for (const { connection } of [one, two, three]) await connection.flush();
    one.gossip.say("limits", Buffer.from("a"));
    await expect.poll(() => heard.toSorted()).toEqual(["three a", "two a"]);
    stop();
    await two.connection.flush();
    await server.kill("SIGKILL");
    await expect.poll(one.isUp).toBe(false);
    one.gossip.say("limits", Buffer.from("lost"));
    await server.restart();
    for (const nats of [one, three]) expect(await nats.untilUp(10_000)).toBe(true);
    await three.connection.flush();
    one.gossip.say("limits", Buffer.from("b"));
    await expect.poll(() => heard.slice(2)).toEqual(["three b"]);
    await Promise.all([one.close(), two.close(), three.close()]);
    one.gossip.say("limits", Buffer.from("after the close"));
  });
});
