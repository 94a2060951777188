import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuthorityService, IpSetting, PlaceSetting } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { type AccessGround, type Life, NOW, newFolder, openAccessGround } from "../../test/support/access-ground.ts";
import { auditModel, keyModel } from "./model.ts";

const folder = newFolder();
const life: Life = { writesLeft: Number.POSITIVE_INFINITY };
let ground: AccessGround;
beforeAll(async () => {
  ground = await openAccessGround(folder.path, { life });
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
  life.writesLeft = Number.POSITIVE_INFINITY;
});

const authority = () => ground.client(AuthorityService);
const authenticate = (given: { key?: string; ip?: string; origin?: string }) =>
  authority().authenticate(given, ground.by({ workspace: "_" }));
const make = (given: Parameters<ReturnType<typeof ground.client<typeof KeyService>>["createKey"]>[0] = {}) =>
  ground.client(KeyService).createKey({ name: "shop", scopes: ["scans:write"], ...given }, ground.by({ workspace }));
const reason = (work: Promise<unknown>) =>
  work.then(
    () => "passes",
    (error) => reasonOf(error)?.reason,
  );

describe("a key", () => {
  it("says who calls", async () => {
    const { key, secret } = await make();
    expect(await authenticate({ key: secret })).toMatchObject({
      workspaceId: workspace,
      keyId: key?.id,
      keyName: "shop",
      keyClass: "production",
      scopes: ["scans:write"],
      test: false,
      boundToCaller: false,
    });
  });

  it("of class development is for test data", async () => {
    const { secret } = await make({ class: "development" });
    expect((await authenticate({ key: secret })).test).toBe(true);
  });

  it.each(["", "wmk_", "wmk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "x".repeat(100_000), "\u0000"])(
    "that nobody made is unknown (%#)",
    async (key) => expect(await reason(authenticate({ key }))).toBe("UNAUTHENTICATED"),
  );

  it("is not known by its hash, its id or its prefix", async () => {
    const { key } = await make();
    const doc = await ground.store
      .collection(keyModel)
      .of(workspace)
      .get(key?.id as string);
    for (const guess of [doc?.hash, doc?.id, doc?.prefix])
      expect(await reason(authenticate({ key: guess as string }))).toBe("UNAUTHENTICATED");
  });

  it("with an allow-list works from its addresses, and the answer holds for this caller alone", async () => {
    const { secret } = await make({ ipAllowList: ["192.0.2.0/24", "2001:db8::/32"] });
    const from = (ip: string) => authenticate({ key: secret, ip });
    expect((await from("192.0.2.9")).boundToCaller).toBe(true);
    expect(
      await Promise.all(["::ffff:192.0.2.9", "2001:db8::7", "198.51.100.1", ""].map((ip) => reason(from(ip)))),
    ).toEqual(["passes", "passes", "ADDRESS_NOT_ALLOWED", "ADDRESS_NOT_ALLOWED"]);
  });

  it("for browsers works from its origins, and the answer holds for this caller alone", async () => {
    const { secret } = await make({ class: "publishable", origins: ["https://shop.example"] });
    expect((await authenticate({ key: secret, origin: "https://shop.example" })).boundToCaller).toBe(true);
    const elsewhere = ["https://evil.example", "https://shop.example.evil.example", "null", ""];
    const outcomes = await Promise.all(elsewhere.map((origin) => reason(authenticate({ key: secret, origin }))));
    expect(outcomes).toEqual(Array(4).fill("ORIGIN_NOT_ALLOWED"));
  });

  it("ends at its end, not a millisecond before", async () => {
    const { secret } = await make({ expiresAt: timestampFromMs(NOW + 1000) });
    ground.clock.now = NOW + 999;
    expect(await reason(authenticate({ key: secret }))).toBe("passes");
    ground.clock.now = NOW + 1000;
    expect(await reason(authenticate({ key: secret }))).toBe("KEY_REVOKED");
  });
});

describe("an answer may be cached", () => {
  const validUntil = async (key: string) =>
    timestampMs((await authenticate({ key })).validUntil as never) - ground.clock.now;

  it("for a minute", async () => expect(await validUntil((await make()).secret)).toBe(60_000));

  it("no longer than to the key's end", async () => {
    expect(await validUntil((await make({ expiresAt: timestampFromMs(NOW + 7000) })).secret)).toBe(7000);
  });

  it("no longer than to the end of the overlap, for the secret that it ends", async () => {
    const { key, secret } = await make();
    const rotated = await ground
      .client(KeyService)
      .rotateKey({ keyId: key?.id, overlapSeconds: 5 }, ground.by({ workspace }));
    expect([await validUntil(secret), await validUntil(rotated.secret)]).toEqual([5000, 60_000]);
  });
});

describe("the time of last use", () => {
  const lastUsed = async (keyId: string | undefined) => {
    const { key } = await ground.client(KeyService).getKey({ keyId }, ground.by({ workspace }));
    return key?.lastUsedAt && timestampMs(key.lastUsedAt) - NOW;
  };

  it("is kept to the minute", async () => {
    const { key, secret } = await make();
    const seen = [];
    for (const at of [0, 59_999, 60_000, 30_000]) {
      ground.clock.now = NOW + at;
      await authenticate({ key: secret });
      seen.push(await lastUsed(key?.id));
    }
    expect(seen).toEqual([0, 0, 60_000, 60_000]);
  });

  it("is not moved by a use that is refused", async () => {
    const { key, secret } = await make({ ipAllowList: ["::1"] });
    await reason(authenticate({ key: secret, ip: "::2" }));
    expect(await lastUsed(key?.id)).toBeUndefined();
  });

  it("is not worth a refusal when the store cannot write", async () => {
    const { key, secret } = await make();
    life.writesLeft = 0;
    expect((await authenticate({ key: secret })).keyId).toBe(key?.id);
  });
});

describe("settings", () => {
  it("are those of the caller's workspace", async () => {
    const { timezone, privacy } = await authority().getSettings({}, ground.by({ workspace: "default" }));
    expect(timezone).toBe("UTC");
    expect(privacy).toMatchObject({ ip: IpSetting.TRUNCATED, place: PlaceSetting.CITY, respectGpc: true });
  });

  it.each(["", "nowhere", "_"])("of a workspace that does not exist are not found: %j", async (id) => {
    expect(await reason(authority().getSettings({}, ground.by({ workspace: id })))).toBe("WORKSPACE_NOT_FOUND");
  });
});

describe("the audit trail", () => {
  const trail = () =>
    ground.store
      .collection(auditModel)
      .of(workspace)
      .find({ sort: [["at", 1]] });

  it("keeps who did what, from where as far as it may, for which request, in order", async () => {
    const items = Array.from({ length: 20 }, (_, index) => ({
      action: "tags.read",
      object: `tag_${index}`,
      outcome: "ok",
    }));
    const caller = ground.by({ workspace, keyId: "key_7", keyName: "desk" }, { ip: "192.0.2.99", requestId: "req_7" });
    await authority().appendAudit({ items }, caller);
    const entries = await trail();
    expect(entries.map(({ object }) => object)).toEqual(items.map(({ object }) => object));
    const common = { at: NOW, keyId: "key_7", keyName: "desk", action: "tags.read", outcome: "ok" };
    expect(entries[0]).toMatchObject({ ...common, ip: "192.0.2.0", requestId: "req_7" });
  });

  it("never holds a whole address", async () => {
    const items = [{ action: "tags.read", object: "tag_1", outcome: "ok" }];
    for (const ip of ["203.0.113.77", "2001:db8:aa:bb:cc:dd:ee:ff"])
      await authority().appendAudit({ items }, ground.by({ workspace }, { ip }));
    expect((await trail()).map(({ ip }) => ip).sort()).toEqual(["2001:db8:aa::", "203.0.113.0"]);
    for (const text of ["203.0.113.77", "cc:dd:ee:ff"]) expect(ground.onDisk().includes(text)).toBe(false);
  });

  it("of nothing is nothing", async () => {
    await authority().appendAudit({ items: [] }, ground.by({ workspace }));
    expect(await trail()).toEqual([]);
  });
});
