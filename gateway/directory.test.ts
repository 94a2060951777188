import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { Target } from "#gen/waymark/codes/v1/directory_pb.ts";
import { openDirectory } from "./directory.ts";
import { targetOf } from "./fixture/door.ts";

function opened() {
  const clock = { now: 1_000_000 };
  const codes = { targets: new Map<string, Target>(), asked: 0, isDown: false };
  const client = {
    async resolveShortId({ shortId }: { shortId?: string }) {
      codes.asked += 1;
      const target = codes.targets.get(shortId ?? "");
      await Promise.resolve();
      if (codes.isDown) throw new ConnectError("down", Code.Unavailable);
      if (target === undefined) throw new ConnectError("none", Code.NotFound);
      return { target };
    },
  };
  const directory = openDirectory(client as unknown as Parameters<typeof openDirectory>[0], () => clock.now);
  codes.targets.set("abc", targetOf({ name: "first" }));
  return { clock, codes, directory, name: async () => (await directory.resolve("abc"))?.name };
}

describe("the directory", () => {
  it("asks once for many that want the same at the same time", async () => {
    const { codes, name } = opened();
    expect(await Promise.all([name(), name(), name()])).toEqual(["first", "first", "first"]);
    expect(codes.asked).toBe(1);
  });

  it("believes a target for a minute", async () => {
    const { clock, codes, name } = opened();
    await name();
    codes.targets.set("abc", targetOf({ name: "second" }));
    clock.now += 59_000;
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

  it("goes on with what it knew while codes is down, and asks again each second", async () => {
    const { clock, codes, name } = opened();
    await name();
    codes.isDown = true;
    clock.now += 60_000;
    expect([await name(), await name()]).toEqual(["first", "first"]);
    expect(codes.asked).toBe(2);
    clock.now += 1_000;
    codes.isDown = false;
    codes.targets.set("abc", targetOf({ name: "second" }));
    expect(await name()).toBe("second");
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
