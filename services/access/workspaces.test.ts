import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuthorityService, DeviceIdentitySetting, IpSetting } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { OrganizationService } from "#gen/waymark/access/v1/organizations_pb.ts";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { type AccessGround, NOW, newFolder, openAccessGround } from "../../test/support/access-ground.ts";
import { SCOPES } from "./scopes.ts";

const folder = newFolder();
let ground: AccessGround;
beforeAll(async () => {
  ground = await openAccessGround(folder.path);
});
afterAll(async () => {
  await ground.stop();
  folder.remove();
});

let id = "";
let made = 0;
beforeEach(() => {
  id = `hotel-${++made}`;
  ground.clock.now = NOW;
});

const workspaces = () => ground.client(WorkspaceService);
const operator = () => ground.by({ workspace: "default" });
const inside = () => ground.by({ workspace: id });
const create = (given: Parameters<ReturnType<typeof workspaces>["createWorkspace"]>[0] = {}) =>
  workspaces().createWorkspace({ id, name: "Hotel", ...given }, operator());
const reason = (work: Promise<unknown>) =>
  work.then(
    () => "passes",
    (error) => [reasonOf(error)?.reason, reasonOf(error)?.metadata.field].filter(Boolean).join(" "),
  );

describe("making a workspace", () => {
  it("gives its defaults and a key for all in it but admin", async () => {
    const { workspace, key, secret } = await create();
    expect(workspace).toMatchObject({ id, name: "Hotel", timezone: "UTC", plan: "self-hosted" });
    expect(workspace?.privacy).toMatchObject({ ip: IpSetting.TRUNCATED, deviceIdentity: DeviceIdentitySetting.STABLE });
    expect(key).toMatchObject({ class: "production", prefix: secret.slice(0, 8) });
    expect(key?.createdBy).toBeUndefined();
    const known = await ground.client(AuthorityService).authenticate({ key: secret }, operator());
    expect(known).toMatchObject({ workspaceId: id, keyId: key?.id });
    expect(known.scopes.sort()).toEqual(
      Object.keys(SCOPES)
        .filter((scope) => scope !== "admin")
        .sort(),
    );
  });

  it("makes an id when none is wanted, another each time", async () => {
    const [a, b] = await Promise.all([create({ id: undefined }), create({ id: undefined })]);
    expect(a?.workspace?.id).toMatch(/^ws-[0-9a-z]{26}$/);
    expect(a?.workspace?.id).not.toBe(b?.workspace?.id);
  });

  it("of a taken id is a conflict and changes nothing", async () => {
    const { secret } = await create();
    expect(await reason(create({ name: "Other" }))).toBe("WORKSPACE_EXISTS");
    expect(await reason(create({ id: "default" }))).toBe("WORKSPACE_EXISTS");
    expect((await workspaces().getWorkspace({}, inside())).workspace?.name).toBe("Hotel");
    expect(await reason(ground.client(AuthorityService).authenticate({ key: secret }, operator()))).toBe("passes");
  });

  it("twice at the same time gives one key that works", async () => {
    const outcomes = await Promise.allSettled([create(), create(), create()]);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect((await ground.client(KeyService).listKeys({}, inside())).keys).toHaveLength(1);
  });

  it("with an owner has its first member", async () => {
    await create({ ownerEmail: "ada@example.com" });
    const { members } = await ground.client(OrganizationService).listMembers({ id }, inside());
    expect(members).toMatchObject([{ email: "ada@example.com", role: "admin" }]);
  });

  it.each<[string, Parameters<typeof create>[0], string]>([
    ["without a name", { name: "" }, "INVALID_FIELD name"],
    ["with the id of the system", { id: "_" }, "INVALID_FIELD id"],
    ["with an empty id", { id: "" }, "INVALID_FIELD id"],
    ["with a big letter in its id", { id: "Hotel" }, "INVALID_FIELD id"],
    ["with an id of 65", { id: "x".repeat(65) }, "INVALID_FIELD id"],
    ["with an owner who has no address", { ownerEmail: "ada" }, "INVALID_FIELD owner_email"],
  ])("is refused %s", async (_case, given, expected) => expect(await reason(create(given))).toBe(expected));
});

describe("only an admin of the workspace default", () => {
  it.each<[string, Parameters<AccessGround["by"]>[0], string]>([
    ["an admin of default", { workspace: "default" }, "passes"],
    ["Waymark itself", { workspace: "_", keyClass: "internal" }, "passes"],
    ["an admin of another workspace", { workspace: "acme" }, "NOT_OPERATOR"],
    ["an admin key of default without the scope", { workspace: "default", scopes: ["codes:read"] }, "NOT_OPERATOR"],
    [
      "a production key of default",
      { workspace: "default", keyClass: "production", scopes: ["keys:write"] },
      "NOT_OPERATOR",
    ],
  ])("makes and lists workspaces: %s", async (_case, who, expected) => {
    expect(await reason(workspaces().createWorkspace({ id, name: "x" }, ground.by(who)))).toBe(expected);
    expect(await reason(workspaces().listWorkspaces({}, ground.by(who)))).toBe(expected);
  });
});

describe("changing a workspace", () => {
  it.each<[string, Parameters<ReturnType<typeof workspaces>["updateWorkspace"]>[0], object]>([
    ["its name", { name: "Inn" }, { name: "Inn" }],
    ["its time zone", { timezone: "Europe/Berlin" }, { timezone: "Europe/Berlin" }],
    [
      "one of what it collects",
      { privacy: { ip: IpSetting.NONE } },
      { privacy: { ip: IpSetting.NONE, userAgent: 3, respectGpc: true } },
    ],
    ["a yes to a no", { privacy: { respectGpc: false } }, { privacy: { respectGpc: false, ip: IpSetting.TRUNCATED } }],
    ["one of how long", { retention: { threadsDays: 30 } }, { retention: { threadsDays: 30, scansDays: 0 } }],
    ["nothing", {}, { name: "Hotel", timezone: "UTC" }],
    [
      "all at once",
      { name: "Inn", timezone: "Asia/Tokyo", privacy: { place: 1 }, retention: { scansDays: 0 } },
      { name: "Inn", privacy: { place: 1 } },
    ],
  ])("takes %s and leaves the rest", async (_case, patch, expected) => {
    await create();
    const { workspace } = await workspaces().updateWorkspace(patch, inside());
    expect(workspace).toMatchObject(expected);
    expect((await workspaces().getWorkspace({}, inside())).workspace).toEqual(workspace);
  });

  it("by two at the same time keeps both changes", async () => {
    await create();
    const patches = [
      { privacy: { ip: IpSetting.FULL } },
      { privacy: { consentRequired: true } },
      { retention: { scansDays: 7 } },
    ];
    await Promise.all(patches.map((patch) => workspaces().updateWorkspace(patch, inside())));
    const { workspace } = await workspaces().getWorkspace({}, inside());
    expect(workspace).toMatchObject({
      privacy: { ip: IpSetting.FULL, consentRequired: true },
      retention: { scansDays: 7 },
    });
  });

  it("tells the caches", async () => {
    await create();
    await workspaces().updateWorkspace({ name: "Inn" }, inside());
    const told = (await ground.changes("workspaces.changed")).filter(({ workspaceId }) => workspaceId === id);
    expect(told).toMatchObject([
      { objectId: id, change: "created" },
      { objectId: id, change: "updated" },
    ]);
  });

  it.each<[Parameters<ReturnType<typeof workspaces>["updateWorkspace"]>[0], string]>([
    [{ name: "" }, "INVALID_FIELD name"],
    [{ timezone: "Mars" }, "TIMEZONE_UNKNOWN timezone"],
    [{ timezone: "" }, "TIMEZONE_UNKNOWN timezone"],
    [{ privacy: { ip: 9 as IpSetting } }, "INVALID_FIELD privacy.ip"],
    [{ retention: { scansDays: -1 } }, "INVALID_FIELD retention.scans_days"],
    [{ retention: { accessLogDays: 36_501 } }, "INVALID_FIELD retention.access_log_days"],
  ])("refuses %j and changes nothing", async (patch, expected) => {
    const { workspace } = await create();
    expect(await reason(workspaces().updateWorkspace(patch, inside()))).toBe(expected);
    expect((await workspaces().getWorkspace({}, inside())).workspace).toEqual(workspace);
  });
});

it("there is no way into a workspace but one's own", async () => {
  await create();
  const stranger = ground.by({ workspace: "nowhere" });
  expect(await reason(workspaces().getWorkspace({}, stranger))).toBe("WORKSPACE_NOT_FOUND");
  expect(await reason(workspaces().updateWorkspace({ name: "mine" }, stranger))).toBe("WORKSPACE_NOT_FOUND");
  expect(await reason(workspaces().getWorkspace({}, ground.by({ workspace: "" })))).toBe("WORKSPACE_NOT_FOUND");
});

it("lists all, oldest first, without skipping or repeating", async () => {
  const first = made * 1000;
  for (let index = 0; index < 12; index += 1) {
    ground.clock.now = NOW + 1000 + (index % 3);
    await create({ id: `list-${first + index}` });
  }
  const found: { id: string; at: bigint }[] = [];
  for (let pageToken = ""; ; ) {
    const page = await workspaces().listWorkspaces({ pageSize: 2, pageToken }, operator());
    found.push(...page.workspaces.map(({ id, createdAt }) => ({ id, at: createdAt?.seconds as bigint })));
    if (page.nextPageToken === "") break;
    pageToken = page.nextPageToken;
  }
  expect(new Set(found.map(({ id }) => id)).size).toBe(found.length);
  expect(found.filter(({ id }) => id.startsWith("list-"))).toHaveLength(12);
  expect(found.map(({ at }) => at)).toEqual(found.map(({ at }) => at).toSorted((a, b) => Number(a - b)));
});
