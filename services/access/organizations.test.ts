import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { OrganizationService } from "#gen/waymark/access/v1/organizations_pb.ts";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { CodeService } from "#gen/waymark/codes/v1/codes_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { type AccessGround, NOW, newFolder, openAccessGround } from "../../test/support/access-ground.ts";

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
beforeEach(async () => {
  id = `org-${++made}`;
  ground.clock.now = NOW;
  const wanted = { id, name: "Hôtel  Group & Söhne!", ownerEmail: "ada@example.com" };
  await ground.client(WorkspaceService).createWorkspace(wanted, ground.by({ workspace: "default" }));
});

const organizations = () => ground.client(OrganizationService);
const by = (who: Parameters<AccessGround["by"]>[0] = {}) => ground.by({ workspace: id, ...who });
const reason = (work: Promise<unknown>) =>
  work.then(
    () => "passes",
    (error) => reasonOf(error)?.reason,
  );
const SCANS = ["codes:read", "codes:write", "scans:read", "scans:write", "webhooks:read", "webhooks:write"];

describe("an API key of the Scans API", () => {
  it("is a production key for codes, scans and webhooks, shown once", async () => {
    const made = await organizations().createApiKey({ name: "till" }, by());
    const known = await ground.client(AuthorityService).authenticate({ key: made.key }, by());
    expect(known).toMatchObject({ workspaceId: id, keyId: made.id, keyClass: "production", scopes: SCANS });
    const [listed] = (await organizations().listApiKeys({}, by())).keys;
    expect(listed).toMatchObject({ id: made.id, name: "till", revoked: false });
    expect(listed?.lastUsedAt).toBeDefined();
    expect(listed).not.toHaveProperty("key");
  });

  it("needs a granter who holds all of that", async () => {
    const lacking = by({ keyClass: "production", scopes: ["keys:write", ...SCANS.slice(1)] });
    expect(await reason(organizations().createApiKey({ name: "till" }, lacking))).toBe("SCOPE_NOT_HELD");
  });

  it("made by a development key is one too", async () => {
    const tester = by({ keyClass: "development", test: true, scopes: ["keys:write", ...SCANS] });
    const made = await organizations().createApiKey({ name: "till" }, tester);
    expect((await ground.client(AuthorityService).authenticate({ key: made.key }, by())).test).toBe(true);
  });

  it("is listed newest first, revoked ones too", async () => {
    const ids = [];
    for (const name of ["a", "b", "c"]) {
      ground.clock.now += 1000;
      ids.unshift((await organizations().createApiKey({ name }, by())).id);
    }
    await organizations().deleteApiKey({ id: ids[1] }, by());
    const { keys } = await organizations().listApiKeys({}, by());
    expect(keys.slice(0, 3).map(({ id, revoked }) => [id, revoked])).toEqual([
      [ids[0], false],
      [ids[1], true],
      [ids[2], false],
    ]);
  });

  it("that is revoked is refused as such; one that is not there is not found", async () => {
    const { id: keyId, key } = await organizations().createApiKey({ name: "till" }, by());
    await organizations().deleteApiKey({ id: keyId }, by());
    await organizations().deleteApiKey({ id: keyId }, by());
    expect(await reason(ground.client(AuthorityService).authenticate({ key }, by()))).toBe("KEY_REVOKED");
    expect(await reason(organizations().deleteApiKey({ id: "key_none" }, by()))).toBe("KEY_NOT_FOUND");
    expect(await reason(organizations().deleteApiKey({ id: keyId }, ground.by({ workspace: "other" })))).toBe(
      "KEY_NOT_FOUND",
    );
  });

  it("is the same thing as a key of the platform API", async () => {
    const { id: keyId } = await organizations().createApiKey({ name: "till" }, by());
    expect((await ground.client(KeyService).getKey({ keyId }, by())).key?.scopes).toEqual(SCANS);
  });
});

describe("an organization", () => {
  it("is the caller's workspace, with its codes and members counted", async () => {
    for (const name of ["a", "b", "c"]) await ground.client(CodeService).createCode({ name, prompt: "hello" }, by());
    const { organizations: found, total } = await organizations().listOrganizations({}, by());
    expect(total).toBe(1n);
    expect(found).toMatchObject([
      {
        id,
        name: "Hôtel  Group & Söhne!",
        slug: "hotel-group-sohne",
        plan: "self-hosted",
        qprCodesCount: 3n,
        membersCount: 1n,
      },
    ]);
  });

  it("with a name of no letters has its id as slug", async () => {
    await ground.client(WorkspaceService).updateWorkspace({ name: "酒店" }, by());
    expect((await organizations().listOrganizations({}, by())).organizations[0]?.slug).toBe(id);
  });

  it("has members for its own keys alone", async () => {
    const { members } = await organizations().listMembers({ id }, by());
    expect(members).toMatchObject([{ email: "ada@example.com", role: "admin" }]);
    expect(members[0]?.id).toMatch(/^mem_/);
    expect(await reason(organizations().listMembers({ id }, ground.by({ workspace: "other" })))).toBe(
      "WORKSPACE_NOT_FOUND",
    );
    expect(await reason(organizations().listMembers({ id: "default" }, by()))).toBe("WORKSPACE_NOT_FOUND");
  });
});
