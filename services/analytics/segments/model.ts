import { type Doc, defineModel } from "#runtime/model.ts";

/** What visitors did or never did. */
export interface BehaviourRule {
  linkId?: string | undefined;
  tag?: string | undefined;
  atLeast: number;
  /** Within so many days before now; absent: ever. */
  withinDays?: number | undefined;
  never: boolean;
}

/** A saved group of visitors. */
export interface SegmentDoc extends Doc {
  test: boolean;
  name: string;
  description: string;
  /** waymark.analytics.v1.Condition, each as its JSON. */
  where: { list: readonly unknown[] };
  behaviours: { list: readonly BehaviourRule[] };
  createdAt: number;
  updatedAt: number;
}

export const segmentModel = defineModel<SegmentDoc>({
  name: "analytics.segments",
  fields: {
    test: { kind: "boolean", required: true },
    name: { kind: "string", required: true },
    description: { kind: "string", required: true },
    where: { kind: "object", required: true },
    behaviours: { kind: "object", required: true },
    createdAt: { kind: "number", required: true },
    updatedAt: { kind: "number", required: true },
  },
  indexes: [{ name: "by_age", fields: ["test", "createdAt"] }],
});

/** Which segment has a name. Its id is the world, a colon and the SHA-256 of the name in small letters. */
export interface SegmentNameDoc extends Doc {
  segmentId: string;
}

export const segmentNameModel = defineModel<SegmentNameDoc>({
  name: "analytics.segment_names",
  fields: { segmentId: { kind: "string", required: true } },
  indexes: [],
});
