import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { Target } from "#gen/waymark/codes/v1/directory_pb.ts";
import { openDirectory } from "./directory.ts";
import { targetOf } from "./fixture/door.ts";

function opened(given: { newsAreFresh?: () => boolean } = {}) {
  const clock = { now: 1_000_000 };
  const codes = {
    targets: new Map<string, Target>(),
    asked: 0,
    isDown: false,
    hold: undefined as Promise<void> | undefined,
  };
  const client = {
    async resolveShortId({ shortId }: { shortId?: string }) {
      codes.asked += 1;
      const target = codes.targets.get(shortId ?? "");
      await codes.hold;
      if (codes.isDown) throw new ConnectError("down", Code.Unavailable);
      if (target === undefined) throw new ConnectError("none", Code.NotFound);
      return { target };
    },
  };
  const directory = openDirectory({ codes: client as never, now: () => clock.now, ...given });
  codes.targets.set("abc", targetOf({ name: "first" }));
  return { clock, codes, directory, name: async () => (await directory.resolve("abc"))?.name };
}

describe("the directory", () => {
  it("asks once for many that want the same at the same time", async () => {
    const { codes, name } = opened();
    expect(await Promise.all([name(), name(), name()])).toEqual(["first", "first", "first"]);
    expect(codes.asked).toBe(1);
  });

  it("believes a target for ten minutes while changes are told", async () => {
    const { clock, codes, name } = opened();
    await name();
    codes.targets.set("abc", targetOf({ name: "second" }));
    clock.now += 599_000;
    expect(await name()).toBe("first");
    clock.now += 1_000;
    expect(await name()).toBe("second");
  });

  it("believes a target whose rules count scans for a second", async () => {
    const { clock, codes, name } = opened();
    const routing = { rules: [{ when: { scansBelow: 5n } }] } as unknown as Target["routing"];
    codes.targets.set("abc", targetOf({ name: "first", routing }));
    await name();
    clock.now += 1_000;
    await name();
    expect(codes.asked).toBe(2);
  });

  it("does not ask again for an unknown short id for five seconds", async () => {
    const { clock, codes, directory } = opened();
    expect(await directory.resolve("new")).toBeUndefined();
    codes.targets.set("new", targetOf({ name: "new" }));
    expect(await directory.resolve("new")).toBeUndefined();
    clock.now += 5_000;
    expect((await directory.resolve("new"))?.name).toBe("new");
  });

  it("asks again when it is told of a change", async () => {
    const { codes, directory, name } = opened();
    await name();
    await directory.resolve("new");
    codes.targets.set("abc", targetOf({ name: "second" }));
    codes.targets.set("new", targetOf({ name: "new" }));
    directory.invalidate({ objectId: "qpr_1", aliases: ["abc", "new"] });
    expect(await name()).toBe("second");
    expect((await directory.resolve("new"))?.name).toBe("new");
  });

  it("does not keep an answer that was on its way when the change came", async () => {
    const { codes, directory, name } = opened();
    const early = name();
    codes.targets.set("abc", targetOf({ name: "second" }));
    directory.invalidate({ objectId: "qpr_1", aliases: ["abc"] });
    expect(await early).toBe("first");
    expect(await name()).toBe("second");
  });

  it("asks again each second while changes are not told", async () => {
    const { clock, codes, name } = opened({ newsAreFresh: () => false });
    await name();
    codes.targets.set("abc", targetOf({ name: "second" }));
    clock.now += 999;
    expect(await name()).toBe("first");
    clock.now += 1;
    expect(await name()).toBe("second");
  });

  it("asks again for everything when changes may have been missed", async () => {
    const { clock, codes, directory, name } = opened();
    await name();
    await directory.resolve("new");
    codes.targets.set("abc", targetOf({ name: "second" }));
    codes.targets.set("new", targetOf({ name: "new" }));
    directory.invalidateAll();
    clock.now += 1;
    expect(await name()).toBe("second");
    expect((await directory.resolve("new"))?.name).toBe("new");
  });

  it("forgets a code that is gone", async () => {
    const { codes, directory, name } = opened();
    await name();
    codes.targets.delete("abc");
    directory.invalidate({ objectId: "qpr_1", aliases: ["abc"] });
    expect(await name()).toBeUndefined();
    expect(await name()).toBeUndefined();
    expect(codes.asked).toBe(2);
  });

  it("goes on with what it knew while codes is down, as long as that lasts, and asks again each second", async () => {
    const { clock, codes, directory, name } = opened({ newsAreFresh: () => false });
    await name();
    codes.isDown = true;
    clock.now += 60_000;
    expect([await name(), await name()]).toEqual(["first", "first"]);
    expect([codes.asked, directory.answers()]).toEqual([2, false]);
    clock.now += 86_400_000;
    expect(await name()).toBe("first");
    clock.now += 1_000;
    codes.isDown = false;
    codes.targets.set("abc", targetOf({ name: "second" }));
    expect([await name(), directory.answers()]).toEqual(["second", true]);
  });

  it("goes on with a code that has changed while codes is down", async () => {
    const { codes, directory, name } = opened();
    await name();
    codes.isDown = true;
    directory.invalidate({ objectId: "qpr_1", aliases: ["abc"] });
    directory.invalidateAll();
    expect(await name()).toBe("first");
  });

  it("does not wait for codes that hangs, and takes its answer when it comes", async () => {
    const { clock, codes, directory, name } = opened({ newsAreFresh: () => false });
    await name();
    const { promise, resolve } = Promise.withResolvers<void>();
    codes.hold = promise;
    codes.targets.set("abc", targetOf({ name: "second" }));
    clock.now += 1_000;
    expect(await name()).toBe("first");
    expect(directory.resolve("abc")).toMatchObject({ name: "first" });
    resolve();
    await expect.poll(name).toBe("second");
    expect([codes.asked, directory.answers()]).toEqual([2, true]);
  });

  it("fails for what it never knew while codes is down", async () => {
    const { codes, directory } = opened();
    codes.isDown = true;
    await expect(async () => directory.resolve("other")).rejects.toThrow("down");
  });

  it("does not ask for what is longer than any short id", async () => {
    const { codes, directory } = opened();
    expect(await directory.resolve("x".repeat(65))).toBeUndefined();
    expect(codes.asked).toBe(0);
  });
});
