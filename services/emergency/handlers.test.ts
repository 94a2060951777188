import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EmergencyService } from "#gen/waymark/emergency/v1/emergency_pb.ts";
import { ScanService } from "#gen/waymark/tags/v1/scan_pb.ts";
import { TagService, TagStatus } from "#gen/waymark/tags/v1/tags_pb.ts";
import { openTagGround, refusal, type TagGround } from "../../test/support/tag-ground.ts";
import { tags } from "../tags/service.ts";
import { accessModel, profileModel } from "./model.ts";
import { emergency } from "./service.ts";

let ground: TagGround;
beforeAll(async () => {
  ground = await openTagGround([tags, emergency]);
});
afterAll(() => ground.close());

/** The profile of the documented example. */
const PROFILE = {
  bloodType: "O+",
  conditions: ["Diabetes Type 2", "Hypertension"],
  allergies: ["Penicillin", "Peanuts"],
  medications: ["Metformin 500mg", "Lisinopril 10mg"],
  physician: "Dr. Sarah Johnson",
  physicianPhone: "(555) 987-6543",
  specialInstructions: "Carries insulin pen in bag",
  organDonor: true,
  emergencyContacts: [{ name: "John Doe", relationship: "Spouse", phone: "(555) 123-4567" }],
};

const owner = () => ground.client(EmergencyService);
const read = (encryptedId: string, from = {}) => owner().readEmergency({ encryptedId }, ground.anyone(from));

async function make(given: object = {}, options = ground.key()) {
  const wristband = { itemName: "Wristband", ownerName: "Jane", ...given };
  const { tag } = await ground.client(TagService).createTag(wristband, options);
  if (tag === undefined) throw new Error("no tag");
  return tag;
}

async function makeWithProfile(given: object = {}, options = ground.key()) {
  const tag = await make(given, options);
  await owner().putEmergency({ tagId: tag.id, ...PROFILE }, options);
  return tag;
}

const none = { code: Code.NotFound, reason: "EMERGENCY_NOT_FOUND" };

describe("emergency information in public", () => {
  it("answers the documented example", async () => {
    const { encryptedId } = await makeWithProfile();
    expect((await read(encryptedId)).profile).toMatchObject(PROFILE);
  });

  it.each([
    ["private", { isPrivate: true }],
    ["not set up", { status: TagStatus.PENDING_SETUP }],
  ])("is there for a tag that is %s", async (_case, given) => {
    const { encryptedId } = await makeWithProfile(given);
    expect((await read(encryptedId)).profile?.bloodType).toBe("O+");
  });

  it("is not found where none is stored, and for unknown ids", async () => {
    const { encryptedId } = await make();
    expect(await refusal(read(encryptedId))).toMatchObject(none);
    expect(await refusal(read("nonsense"))).toMatchObject({ code: Code.NotFound, reason: "TAG_NOT_FOUND" });
  });

  it("is announced by the scan while it is stored", async () => {
    const { id: tagId, encryptedId } = await makeWithProfile();
    const scan = async () => (await ground.client(ScanService).scanTag({ encryptedId }, ground.anyone())).profile;
    expect((await scan())?.emergencyAvailable).toBe(true);
    await owner().deleteEmergency({ tagId }, ground.key());
    expect((await scan())?.emergencyAvailable).toBe(false);
    expect(await refusal(read(encryptedId))).toMatchObject(none);
    expect(await refusal(owner().deleteEmergency({ tagId }, ground.key()))).toMatchObject(none);
  });
});

describe("every look", () => {
  it("stands in the access log, chained, newest first, and in the audit trail", async () => {
    const { id: tagId, encryptedId } = await makeWithProfile();
    for (let n = 1; n <= 3; n++) await read(encryptedId, { ip: `203.0.11${n}.77`, userAgent: "" });
    const { accesses, meta } = await owner().listEmergencyAccesses({ tagId, limit: 2 }, ground.key());
    expect(meta).toMatchObject({ total: 3, page: 1, totalPages: 2 });
    expect(accesses.map(({ sequence, ip, userAgent }) => [sequence, ip, userAgent])).toEqual([
      [3, "203.0.113.0", undefined],
      [2, "203.0.112.0", undefined],
    ]);
    expect(accesses[0]?.previousHash).toBe(accesses[1]?.hash);
    const verified = await owner().verifyEmergencyAccesses({ tagId }, ground.key());
    expect(verified).toMatchObject({ entries: 3, intact: true, head: accesses[0]?.hash });
    const actor = "Anyone with the printed code";
    expect(ground.told.audit.at(-1)).toEqual({ workspace: "default", actor, action: "emergency.read", object: tagId });
  });

  it("finds its own place among looks at the same moment", async () => {
    const { id: tagId, encryptedId } = await makeWithProfile();
    await Promise.all(Array.from({ length: 8 }, () => read(encryptedId)));
    expect(await owner().verifyEmergencyAccesses({ tagId }, ground.key())).toMatchObject({ entries: 8, intact: true });
  });

  it("is missed when somebody changes or removes an entry", async () => {
    const { id: tagId, encryptedId } = await makeWithProfile();
    for (let n = 0; n < 3; n++) await read(encryptedId);
    const accesses = ground.store.collection(accessModel).of("default");
    await accesses.update(`${tagId}/2`, { set: { ip: "198.51.100.0" } });
    expect((await owner().verifyEmergencyAccesses({ tagId }, ground.key())).intact).toBe(false);
    await accesses.delete(`${tagId}/2`);
    expect(await owner().verifyEmergencyAccesses({ tagId }, ground.key())).toMatchObject({ entries: 2, intact: false });
  });
});

describe("the owner", () => {
  it("puts in place of what was there, and reads it back", async () => {
    const { id: tagId } = await makeWithProfile();
    expect((await owner().getEmergency({ tagId }, ground.key())).profile).toMatchObject(PROFILE);
    expect(ground.told.audit.at(-1)).toMatchObject({ actor: "Owner", action: "emergency.read", object: tagId });
    await owner().putEmergency({ tagId, allergies: ["Latex"] }, ground.key());
    const { profile } = await owner().getEmergency({ tagId }, ground.key());
    expect(profile).toMatchObject({ conditions: [], allergies: ["Latex"], medications: [], emergencyContacts: [] });
    expect([profile?.bloodType, profile?.physician, profile?.organDonor]).toEqual([undefined, undefined, undefined]);
  });

  it("is the only one who does", async () => {
    const { id: tagId } = await makeWithProfile();
    for (const options of [ground.key("acme"), ground.key("default", { test: true })]) {
      for (const call of [
        owner().getEmergency({ tagId }, options),
        owner().putEmergency({ tagId, bloodType: "A" }, options),
        owner().deleteEmergency({ tagId }, options),
        owner().listEmergencyAccesses({ tagId }, options),
        owner().verifyEmergencyAccesses({ tagId }, options),
      ]) {
        expect(await refusal(call)).toMatchObject({ code: Code.NotFound, message: `Tag with id '${tagId}' not found` });
      }
    }
  });

  it.each([
    ["blood_type", { bloodType: "x".repeat(11) }],
    ["conditions", { conditions: Array.from({ length: 51 }, () => "x") }],
    ["medications[1]", { medications: ["a", "x".repeat(201)] }],
    ["allergies[0]", { allergies: [""] }],
    ["emergency_contacts[0].name", { emergencyContacts: [{ phone: "1" }] }],
    ["emergency_contacts[0].phone", { emergencyContacts: [{ name: "a", phone: " " }] }],
    ["emergency_contacts", { emergencyContacts: Array.from({ length: 11 }, () => ({ name: "a", phone: "1" })) }],
    ["special_instructions", { specialInstructions: "x".repeat(2001) }],
  ])("is told of a bad %s", async (field, given) => {
    const { id: tagId } = await make();
    const refused = await refusal(owner().putEmergency({ tagId, ...given }, ground.key()));
    expect(refused).toMatchObject({ code: Code.InvalidArgument, facts: { field } });
    expect((await ground.client(TagService).getTag({ tagId }, ground.key())).tag?.emergencyAvailable).toBe(false);
  });
});

describe("deleting the tag", () => {
  it("removes profile and access log, and leaves those of a later tag of the same id", async () => {
    const { id: tagId, encryptedId } = await makeWithProfile({ id: "band" });
    await read(encryptedId);
    await ground.client(TagService).deleteTag({ tagId }, ground.key());
    expect(await refusal(read(encryptedId))).toMatchObject({ code: Code.NotFound });
    await ground.project();
    expect(await ground.store.collection(profileModel).of("default").get("band")).toBeUndefined();
    expect(await ground.store.collection(accessModel).of("default").count({ tagId: "band" })).toBe(0);

    await makeWithProfile({ id: "band" });
    const entries = [];
    for await (const chunk of ground.log.read({ after: 0, subjects: ["tags.deleted"] })) entries.push(...chunk);
    const [projection] = emergency.projections ?? [];
    await projection?.project(entries, { store: ground.store, now: () => ground.clock.now });
    expect((await read(encryptedId)).profile).toMatchObject(PROFILE);
  });
});

describe("what is stored and told", () => {
  it("holds no medical word, name or number in the clear", async () => {
    await makeWithProfile();
    const bytes = ground.stored();
    expect(bytes.includes("Wristband")).toBe(true);
    const words = [
      ...PROFILE.conditions,
      ...PROFILE.allergies,
      ...PROFILE.medications,
      "Johnson",
      "insulin",
      "John Doe",
      "(555)",
    ];
    for (const word of words) expect(bytes.includes(word), word).toBe(false);
    expect(JSON.stringify(ground.told.audit)).not.toMatch(/Diabetes|Penicillin|Metformin/);
  });
});
