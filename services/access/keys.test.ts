import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs, ValueSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { type AccessGround, NOW, newFolder, openAccessGround } from "../../test/support/access-ground.ts";
import { hashOf } from "./rules.ts";

const folder = newFolder();
let ground: AccessGround;
beforeAll(async () => {
  ground = await openAccessGround(folder.path);
});
afterAll(async () => {
  await ground.stop();
  folder.remove();
});

let workspace = "";
let made = 0;
beforeEach(() => {
  workspace = `ws-${++made}`;
  ground.clock.now = NOW;
});

const keys = () => ground.client(KeyService);
const by = (who: Parameters<AccessGround["by"]>[0] = {}) => ground.by({ workspace, ...who });
const value = (json: JsonValue) => fromJson(ValueSchema, json);
const make = (given: Parameters<ReturnType<typeof keys>["createKey"]>[0] = {}) =>
  keys().createKey({ name: "shop", scopes: ["codes:read"], ...given }, by());
const idOf = async (reply: ReturnType<typeof make>): Promise<string> => (await reply).key?.id as string;

/** What a key is answered: its id, or the reason why it is refused. */
async function use(key: string, from: { ip?: string; origin?: string } = {}): Promise<string | undefined> {
  const asked = ground.client(AuthorityService).authenticate({ key, ...from }, ground.by({ workspace: "_" }));
  return asked.then(
    ({ keyId }) => keyId,
    (error) => reasonOf(error)?.reason,
  );
}

const reason = (work: Promise<unknown>) =>
  work.then(
    () => "passes",
    (error) => [reasonOf(error)?.reason, reasonOf(error)?.metadata.field].filter(Boolean).join(" "),
  );

describe("making a key", () => {
  it("shows all of it, and the secret this once", async () => {
    const expiresAt = timestampFromMs(NOW + 1000);
    const ipAllowList = ["10.0.0.0/8"];
    const { key, secret } = await make({
      class: "publishable",
      scopes: ["scans:write"],
      expiresAt,
      ipAllowList,
      origins: ["https://A.example"],
    });
    expect(secret).toMatch(/^wmk_[A-Za-z0-9_-]{43}$/);
    expect(key).toMatchObject({
      name: "shop",
      class: "publishable",
      scopes: ["scans:write"],
      prefix: secret.slice(0, 8),
    });
    expect(key).toMatchObject({ ipAllowList, origins: ["https://a.example"], createdBy: "key_1", expiresAt });
    expect(key?.createdAt).toEqual(timestampFromMs(NOW));
    expect([key?.lastUsedAt, key?.revokedAt]).toEqual([undefined, undefined]);
    expect(
      JSON.stringify(await keys().getKey({ keyId: key?.id as string }, by()), (_, v) =>
        typeof v === "bigint" ? Number(v) : v,
      ),
    ).not.toContain(secret);
  });

  it("is of class production unless it says so", async () => expect((await make()).key?.class).toBe("production"));

  it("never stores a secret, not in a rotation either", async () => {
    const { key, secret } = await make();
    const rotated = await keys().rotateKey({ keyId: key?.id as string, overlapSeconds: 60 }, by());
    const bytes = ground.onDisk();
    for (const text of [secret, rotated.secret]) {
      expect(bytes.includes(hashOf(text))).toBe(true);
      expect(bytes.includes(text)).toBe(false);
      expect(bytes.includes(text.slice(4))).toBe(false);
    }
  });

  it.each<[string, Parameters<typeof make>[0], string]>([
    ["without a name", { name: "" }, "INVALID_FIELD name"],
    ["without a scope", { scopes: [] }, "INVALID_FIELD scopes"],
    ["with a scope twice", { scopes: ["codes:read", "codes:read"] }, "INVALID_FIELD scopes"],
    ["of a class that does not exist", { class: "internal" }, "INVALID_FIELD class"],
    ["that has ended", { expiresAt: timestampFromMs(NOW) }, "EXPIRY_PAST expires_at"],
    ["for a browser without origin", { class: "publishable", scopes: ["scans:write"] }, "ORIGIN_NEEDED origins"],
    ["with a name as address", { ipAllowList: ["office"] }, "ADDRESS_INVALID ip_allow_list[0]"],
  ])("is refused %s", async (_case, given, expected) => expect(await reason(make(given))).toBe(expected));
});

describe("a key of another workspace", () => {
  it("cannot be seen, changed, rotated or revoked", async () => {
    const { key, secret } = await make();
    const keyId = key?.id as string;
    const stranger = ground.by({ workspace: "other" });
    const attempts = [
      keys().getKey({ keyId }, stranger),
      keys().updateKey({ keyId, name: "mine" }, stranger),
      keys().rotateKey({ keyId }, stranger),
      keys().deleteKey({ keyId }, stranger),
    ];
    expect(await Promise.all(attempts.map(reason))).toEqual(Array(4).fill("KEY_NOT_FOUND"));
    expect((await keys().listKeys({}, stranger)).keys).toEqual([]);
    expect(await use(secret)).toBe(keyId);
  });
});

describe("a key that can do more than the caller's", () => {
  const lesser = () => by({ keyClass: "production", scopes: ["keys:write", "codes:read"] });

  it("cannot be rotated or changed, for its secret would be a way around", async () => {
    const keyId = await idOf(make({ scopes: ["codes:read", "tags:read"] }));
    expect(await reason(keys().rotateKey({ keyId }, lesser()))).toBe("KEY_ABOVE");
    expect(await reason(keys().updateKey({ keyId, ipAllowList: value(null) }, lesser()))).toBe("KEY_ABOVE");
    expect(await reason(keys().deleteKey({ keyId }, lesser()))).toBe("passes");
  });

  it("of class admin cannot be revoked either", async () => {
    const keyId = await idOf(make({ class: "admin", scopes: ["admin"] }));
    expect(await reason(keys().deleteKey({ keyId }, lesser()))).toBe("CLASS_NOT_ALLOWED");
    expect(await reason(keys().rotateKey({ keyId }, lesser()))).toBe("CLASS_NOT_ALLOWED");
  });

  it("is any but a development key for a development key", async () => {
    const tester = by({ keyClass: "development", test: true, scopes: ["keys:write", "codes:read"] });
    const keyId = await idOf(make());
    expect(await reason(keys().rotateKey({ keyId }, tester))).toBe("TEST_KEYS_ONLY");
    expect(await reason(keys().deleteKey({ keyId }, tester))).toBe("TEST_KEYS_ONLY");
    expect(await reason(keys().createKey({ name: "x", scopes: ["codes:read"] }, tester))).toBe("TEST_KEYS_ONLY");
    const own = await keys().createKey({ name: "x", class: "development", scopes: ["codes:read"] }, tester);
    expect(await reason(keys().rotateKey({ keyId: own.key?.id }, tester))).toBe("passes");
  });
});

describe("changing a key", () => {
  it("takes what is given and leaves the rest", async () => {
    const keyId = await idOf(make({ ipAllowList: ["::1"], expiresAt: timestampFromMs(NOW + 5000) }));
    await keys().updateKey({ keyId, name: "renamed" }, by());
    await keys().updateKey({ keyId, ipAllowList: value(["10.0.0.0/8"]) }, by());
    const { key } = await keys().updateKey({ keyId }, by());
    expect(key).toMatchObject({ name: "renamed", ipAllowList: ["10.0.0.0/8"], expiresAt: timestampFromMs(NOW + 5000) });
  });

  it("clears by null", async () => {
    const keyId = await idOf(make({ ipAllowList: ["::1"], expiresAt: timestampFromMs(NOW + 5000) }));
    const { key } = await keys().updateKey({ keyId, expiresAt: value(null), ipAllowList: value(null) }, by());
    expect([key?.expiresAt, key?.ipAllowList]).toEqual([undefined, []]);
  });

  it("of an end brings an ended key back", async () => {
    const { key, secret } = await make({ expiresAt: timestampFromMs(NOW + 1000) });
    ground.clock.now += 1000;
    expect(await use(secret)).toBe("KEY_REVOKED");
    await keys().updateKey({ keyId: key?.id, expiresAt: value(null) }, by());
    expect(await use(secret)).toBe(key?.id);
  });

  it("is refused for a key that is not there, and for nonsense", async () => {
    expect(await reason(keys().updateKey({ keyId: "key_none", name: "x" }, by()))).toBe("KEY_NOT_FOUND");
    expect(await reason(keys().updateKey({ keyId: await idOf(make()), name: "" }, by()))).toBe("INVALID_FIELD name");
  });
});

describe("revoking a key", () => {
  it("ends all its secrets at once and keeps it in the list", async () => {
    const { key, secret } = await make();
    const keyId = key?.id as string;
    const rotated = await keys().rotateKey({ keyId, overlapSeconds: 60 }, by());
    ground.clock.now += 5000;
    await keys().deleteKey({ keyId }, by());
    expect(await Promise.all([use(secret), use(rotated.secret)])).toEqual(["KEY_REVOKED", "KEY_REVOKED"]);
    const listed = (await keys().listKeys({}, by())).keys[0];
    expect([listed?.id, listed?.revokedAt && timestampMs(listed.revokedAt)]).toEqual([keyId, NOW + 5000]);
  });

  it("again keeps the first time", async () => {
    const keyId = await idOf(make());
    await keys().deleteKey({ keyId }, by());
    ground.clock.now += 5000;
    await keys().deleteKey({ keyId }, by());
    expect((await keys().getKey({ keyId }, by())).key?.revokedAt).toEqual(timestampFromMs(NOW));
  });

  it("is refused for a key that is not there", async () => {
    expect(await reason(keys().deleteKey({ keyId: "key_none" }, by()))).toBe("KEY_NOT_FOUND");
  });
});

describe("caches", () => {
  const news = async () =>
    (await ground.changes("keys.changed")).filter(({ workspaceId }) => workspaceId === workspace);

  it("are told of a change, a rotation and a revocation, with every hash of the key", async () => {
    const { key, secret } = await make();
    const keyId = key?.id as string;
    expect(await news()).toEqual([]);
    await keys().updateKey({ keyId, name: "x" }, by());
    const rotated = await keys().rotateKey({ keyId, overlapSeconds: 60 }, by());
    await keys().deleteKey({ keyId }, by());
    await keys().deleteKey({ keyId }, by());
    const told = (await news()).map(({ objectId, change, aliases }) => ({ objectId, change, aliases: aliases.sort() }));
    const both = [hashOf(secret), hashOf(rotated.secret)].sort();
    expect(told).toEqual([
      { objectId: keyId, change: "updated", aliases: [hashOf(secret)] },
      { objectId: keyId, change: "updated", aliases: both },
      { objectId: keyId, change: "deleted", aliases: both },
      { objectId: keyId, change: "deleted", aliases: both },
    ]);
  });

  it("are told the old hash of a rotation without overlap too", async () => {
    const { key, secret } = await make();
    const rotated = await keys().rotateKey({ keyId: key?.id }, by());
    expect((await news())[0]?.aliases.sort()).toEqual([hashOf(secret), hashOf(rotated.secret)].sort());
  });
});

it("lists the scopes to anyone", async () => {
  const { scopes } = await keys().listScopes({}, ground.by({ workspace: "", scopes: [] }));
  expect(scopes.find(({ name }) => name === "admin")).toMatchObject({ description: "Everything in the workspace." });
});
