import { EmergencyService } from "#gen/waymark/emergency/v1/emergency_pb.ts";
import { TagService, TagStatus, TagType } from "#gen/waymark/tags/v1/tags_pb.ts";
import { once, type Seeding } from "./seed.ts";

/** The lost keys of the Tags API's page and a medical wristband. Answers with the printed id of the keys. */
export async function seedTags({ client, caller }: Seeding): Promise<string> {
  const tags = client(TagService);
  const keys = {
    id: "tag_abc123",
    itemName: "House Keys",
    description: "Set of 3 keys on a blue lanyard",
    ownerName: "Jane",
    status: TagStatus.LOST,
    lostMessage: "Please help me find my keys!",
    reward: { amount: 25, currency: "USD", description: "Reward for safe return of my keys" },
    photos: [{ url: "https://cdn.qriotag.com/photos/pht_001.jpg", isPrimary: true }],
    contactEnabled: true,
  };
  await once(tags.createTag(keys, caller));
  const wristband = {
    id: "tag_demo_wristband",
    itemName: "Medical wristband",
    ownerName: "Jane",
    tagType: TagType.MEDICAL,
  };
  await once(tags.createTag(wristband, caller));
  await client(EmergencyService).putEmergency({ tagId: wristband.id, ...PROFILE }, caller);
  const { tag } = await tags.getTag({ tagId: keys.id }, caller);
  return tag?.encryptedId ?? "";
}

/** The profile of the Tags API's page. Nobody's: it stands in the vendor's documents. */
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
