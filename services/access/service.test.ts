import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { type AccessGround, Killed, type Life, newFolder, openAccessGround } from "../../test/support/access-ground.ts";
import { hashOf } from "./rules.ts";

let folder: ReturnType<typeof newFolder>;
beforeEach(() => {
  folder = newFolder();
});
afterEach(() => folder.remove());

const ONE = "admin-key-one-0123456789";
const TWO = "admin-key-two-0123456789";

/** Opens it, does something, stops it. */
async function during<T>(
  given: NonNullable<Parameters<typeof openAccessGround>[1]>,
  work: (ground: AccessGround) => Promise<T>,
): Promise<T> {
  const ground = await openAccessGround(folder.path, given);
  try {
    return await work(ground);
  } finally {
    await ground.stop();
  }
}

/** What a key is told: its class and workspace, or why it is refused. */
async function use(ground: AccessGround, key: string): Promise<string | undefined> {
  return ground
    .client(AuthorityService)
    .authenticate({ key }, ground.by({ workspace: "_" }))
    .then(
      ({ keyClass, workspaceId }) => `${keyClass} of ${workspaceId}`,
      (error) => reasonOf(error)?.reason,
    );
}

const inDefault = (ground: AccessGround) => ground.by({ workspace: "default" });

describe("the first start without WAYMARK_ADMIN_KEY", () => {
  it("makes an admin key and says it once", async () => {
    const [secret = ""] = await during({}, async ({ said }) => said);
    expect(secret).toMatch(/^wmk_/);
    expect(await during({}, async (ground) => [ground.said, await use(ground, secret)])).toEqual([
      [],
      "admin of default",
    ]);
    expect(await during({}, async ({ onDisk }) => onDisk().includes(secret))).toBe(false);
  });
});

describe("WAYMARK_ADMIN_KEY", () => {
  it("is an admin key of the workspace default, and nothing is said", async () => {
    const found = await during({ adminKey: ONE }, async (ground) => [ground.said, await use(ground, ONE)]);
    expect(found).toEqual([[], "admin of default"]);
    expect(await during({ adminKey: ONE }, async (ground) => use(ground, ONE))).toBe("admin of default");
  });

  it("that is left out later goes on working", async () => {
    await during({ adminKey: ONE }, async () => {});
    expect(await during({}, async (ground) => [ground.said, await use(ground, ONE)])).toEqual([[], "admin of default"]);
  });

  it("in place of the one that was made ends that one", async () => {
    const [secret = ""] = await during({}, async ({ said }) => said);
    const both = async (ground: AccessGround) => Promise.all([use(ground, secret), use(ground, ONE)]);
    expect(await during({ adminKey: ONE }, both)).toEqual(["KEY_REVOKED", "admin of default"]);
  });

  it("that changes ends the one before, tells the caches, and can change back", async () => {
    const both = async (ground: AccessGround) => Promise.all([use(ground, ONE), use(ground, TWO)]);
    await during({ adminKey: ONE }, async () => {});
    expect(await during({ adminKey: TWO }, both)).toEqual(["KEY_REVOKED", "admin of default"]);
    const told = await during({ adminKey: TWO }, ({ changes }) => changes("keys.changed"));
    expect(told.map(({ objectId, aliases }) => [objectId, aliases])).toEqual([
      ["key_admin", [hashOf(ONE), hashOf(TWO)]],
    ]);
    expect(await during({ adminKey: ONE }, both)).toEqual(["admin of default", "KEY_REVOKED"]);
  });

  it("that was revoked stays so at the next start; a changed one is the way back in", async () => {
    await during({ adminKey: ONE }, (ground) =>
      ground.client(KeyService).deleteKey({ keyId: "key_admin" }, inDefault(ground)),
    );
    expect(await during({ adminKey: ONE }, (ground) => use(ground, ONE))).toBe("KEY_REVOKED");
    expect(await during({ adminKey: TWO }, (ground) => use(ground, TWO))).toBe("admin of default");
  });

  it("that changes comes without the limits of the one before", async () => {
    const ipAllowList = fromJson(ValueSchema, ["192.0.2.1"]);
    await during({ adminKey: ONE }, (ground) =>
      ground.client(KeyService).updateKey({ keyId: "key_admin", ipAllowList }, inDefault(ground)),
    );
    expect(await during({ adminKey: ONE }, (ground) => use(ground, ONE))).toBe("ADDRESS_NOT_ALLOWED");
    expect(await during({ adminKey: TWO }, (ground) => use(ground, TWO))).toBe("admin of default");
  });

  it("that is the secret of another key stops the start", async () => {
    const wanted = { name: "x", scopes: ["codes:read"] };
    const { secret } = await during({ adminKey: ONE }, (ground) =>
      ground.client(KeyService).createKey(wanted, inDefault(ground)),
    );
    const start = during({ adminKey: secret }, async () => {});
    await expect(start).rejects.toThrow("WAYMARK_ADMIN_KEY is the secret of another key");
    await expect(start).rejects.not.toThrow(secret);
  });

  it("is never on the disk", async () => {
    expect(await during({ adminKey: ONE }, async ({ onDisk }) => onDisk().includes(ONE))).toBe(false);
  });
});

/** Runs `work` again and again, killed after one write more each time, until it lives through. Each time on a new folder. */
async function killedAfterEachWrite(
  work: (ground: AccessGround) => Promise<unknown>,
  after: (ground: AccessGround, writes: number) => Promise<void>,
): Promise<number> {
  for (let writes = 0; ; writes += 1) {
    folder.remove();
    folder = newFolder();
    await during({ adminKey: ONE }, async () => {});
    const life: Life = { writesLeft: Number.POSITIVE_INFINITY };
    const survived = await during({ adminKey: ONE, life }, async (ground) => {
      life.writesLeft = writes;
      return work(ground).then(
        () => true,
        () => false,
      );
    });
    await during({ adminKey: ONE }, (ground) => after(ground, writes));
    if (survived) return writes;
  }
}

describe("a process that is killed between two writes", () => {
  it("of the first start leaves a start that works", async () => {
    for (const adminKey of [ONE, undefined]) {
      for (let writesLeft = 0; writesLeft < 3; writesLeft += 1) {
        folder.remove();
        folder = newFolder();
        await expect(during({ adminKey, life: { writesLeft } }, async () => {})).rejects.toThrow(Killed);
        const worked = await during({ adminKey }, async (ground) =>
          use(ground, adminKey ?? (ground.said[0] as string)),
        );
        expect(worked).toBe("admin of default");
      }
    }
  });

  it("of a start with another admin key leaves a start that works", async () => {
    for (let writesLeft = 0; writesLeft < 4; writesLeft += 1) {
      folder.remove();
      folder = newFolder();
      await during({ adminKey: ONE }, async () => {});
      await during({ adminKey: TWO, life: { writesLeft } }, async () => {}).catch(() => undefined);
      const both = async (ground: AccessGround) => Promise.all([use(ground, ONE), use(ground, TWO)]);
      expect(await during({ adminKey: TWO }, both)).toEqual(["KEY_REVOKED", "admin of default"]);
    }
  });

  it("of the making of a workspace leaves one that the next call completes", async () => {
    const wanted = { id: "hotel", name: "Hotel", ownerEmail: "ada@example.com" };
    const create = (ground: AccessGround) => ground.client(WorkspaceService).createWorkspace(wanted, inDefault(ground));
    const writes = await killedAfterEachWrite(create, async (ground, after) => {
      const again = await create(ground).catch((error) => reasonOf(error)?.reason);
      const keys = (await ground.client(KeyService).listKeys({}, ground.by({ workspace: "hotel" }))).keys;
      expect(keys).toHaveLength(1);
      if (typeof again === "object") expect(await use(ground, again.secret)).toBe("production of hotel");
      else expect([after, again]).toEqual([6, "WORKSPACE_EXISTS"]);
    });
    expect(writes).toBe(6);
  });

  it("of the making of a key leaves no key that cannot be used", async () => {
    const wanted = { name: "shop", scopes: ["codes:read"] };
    const create = (ground: AccessGround) => ground.client(KeyService).createKey(wanted, inDefault(ground));
    const writes = await killedAfterEachWrite(create, async (ground, after) => {
      const { keys } = await ground.client(KeyService).listKeys({}, inDefault(ground));
      expect(keys.map(({ name }) => name)).toHaveLength(after < 2 ? 1 : 2);
    });
    expect(writes).toBe(2);
  });

  it("of a rotation leaves the old secret its overlap, and a repeat gives a new one that works", async () => {
    const rotate = (ground: AccessGround) =>
      ground.client(KeyService).rotateKey({ keyId: "key_admin", overlapSeconds: 3600 }, inDefault(ground));
    const writes = await killedAfterEachWrite(rotate, async (ground) => {
      expect(await use(ground, ONE)).toBe("admin of default");
      const { secret } = await rotate(ground);
      expect(await Promise.all([use(ground, ONE), use(ground, secret)])).toEqual(Array(2).fill("admin of default"));
    });
    expect(writes).toBe(3);
  });

  it("of a revocation or a change is told to the caches by the repeat", async () => {
    const revoke = (ground: AccessGround) =>
      ground.client(KeyService).deleteKey({ keyId: "key_admin" }, inDefault(ground));
    await killedAfterEachWrite(revoke, async (ground) => {
      const before = (await ground.changes("keys.changed")).length;
      await revoke(ground);
      expect(await use(ground, ONE)).toBe("KEY_REVOKED");
      expect(await ground.changes("keys.changed")).toHaveLength(before + 1);
    });
  });
});
