import type { Waymark } from "../support/waymark.ts";

/** The tag of the document's example. */
export const HOUSE_KEYS = {
  id: "tag_abc123",
  itemName: "House Keys",
  description: "Set of 3 keys on a blue lanyard",
  ownerName: "Jane",
  status: "LOST",
  lostMessage: "Please help me find my keys!",
  reward: { amount: 25, currency: "USD", description: "Reward for safe return of my keys" },
  tagType: "GENERAL",
  photos: [{ url: "https://cdn.qriotag.com/photos/pht_001.jpg", isPrimary: true }],
  contactEnabled: true,
};

/** The medical profile of the document's example. */
export const MEDICAL = {
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

/** Makes a tag; fails when it is not made. */
export async function makeTag(
  { call }: Pick<Waymark, "call">,
  key: string,
  body: Record<string, unknown>,
  // biome-ignore lint/suspicious/noExplicitAny: the tag as the API shows it
): Promise<any> {
  const made = await call("POST", "/api/v1/tags", { key, body: { itemName: "Bag", ownerName: "Ada", ...body } });
  if (made.status !== 201) throw new Error(`the tag was not made: ${made.text}`);
  return made.body.data;
}

/** A time as the Tags API writes it. */
export const MILLIS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
