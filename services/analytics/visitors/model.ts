import { type Doc, defineModel } from "#runtime/model.ts";

/** A value that was said of a visitor: a text, number or truth, or a time in milliseconds since 1970. */
export interface Known {
  type: "string" | "number" | "boolean" | "date";
  /** As it was said, as text. */
  text: string;
  number?: number;
  truth?: boolean;
  time?: number;
  /** When it was said. */
  at: number;
}

/**
 * What is known of a visitor. Its id is the world ("live" or "test"), a colon and the id of the visitor, which is `vis_` and
 * the pseudonym of a device: so the document of a device's own visitor is found by the device.
 */
export interface VisitorDoc extends Doc {
  visitorId: string;
  test: boolean;
  email?: string;
  phone?: string;
  firstName?: string;
  lastName?: string;
  /** When the address, phone number and names were said, by their names here. */
  profileAt?: Readonly<Record<string, number>>;
  /** By key. */
  attributes: Readonly<Record<string, Known>>;
  /**
   * Pseudonyms of its devices; none once it is part of another. Of one that was forgotten those that the log was not told yet.
   */
  devices: readonly string[];
  /** The visitor that it is part of now. */
  mergedInto?: string;
  /** When it was first said who it is. */
  identifiedAt?: number;
  /** When it was forgotten; whoever comes with the device after that is somebody new. */
  erasedAt?: number;
  /** Position of the log up to which touches of its own device are forgotten. */
  erasedTo?: number;
  updatedAt: number;
}

export const visitorModel = defineModel<VisitorDoc>({
  name: "analytics.visitors",
  fields: {
    visitorId: { kind: "string", required: true },
    test: { kind: "boolean", required: true },
    email: { kind: "string" },
    phone: { kind: "string" },
    firstName: { kind: "string" },
    lastName: { kind: "string" },
    profileAt: { kind: "object" },
    attributes: { kind: "object", required: true },
    devices: { kind: "strings", required: true },
    mergedInto: { kind: "string" },
    identifiedAt: { kind: "number" },
    erasedAt: { kind: "number" },
    erasedTo: { kind: "number" },
    updatedAt: { kind: "number", required: true },
  },
  indexes: [],
});

/** Whose an address is. Its id is the world, a colon and the SHA-256 of the address in small letters. */
export interface ClaimDoc extends Doc {
  /** Empty while the claim is being deleted. */
  visitorId: string;
}

export const claimModel = defineModel<ClaimDoc>({
  name: "analytics.claims",
  fields: { visitorId: { kind: "string", required: true } },
  indexes: [{ name: "visitor", fields: ["visitorId"] }],
});
