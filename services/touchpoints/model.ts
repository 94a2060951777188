import { type Doc, defineModel } from "#runtime/model.ts";

/** An experience as stored. */
export interface ExperienceDoc extends Doc {
  name: string;
  value: string;
  test: boolean;
  createdAt: number;
}

/** A touchpoint as stored. */
export interface TouchpointDoc extends Doc {
  experienceId: string;
  name: string;
  value: string;
  test: boolean;
  createdAt: number;
}

/** One visit; its id is that of the touch. */
export interface VisitDoc extends Doc {
  touchpointId: string;
  experienceId: string;
  userId: string;
  /** When the touchpoint was scanned. */
  at: number;
  test: boolean;
  /** The log position that made it; another one with the same id is a duplicate. */
  position: number;
}

/** One user at one touchpoint; its id is `touchpoint/user`, so that ties of `first` sort by user. */
export interface VisitorDoc extends Doc {
  touchpointId: string;
  userId: string;
  /** The earliest visit, whatever the order of arrival. */
  first: number;
  /** The log position that made it. */
  position: number;
}

/** Counts of one touchpoint, whose id it has. */
export interface CountDoc extends Doc {
  total: number;
  unique: number;
  /** All visits up to this log position are in. */
  position: number;
}

/** Experiences. */
export const experienceModel = defineModel<ExperienceDoc>({
  name: "touchpoints.experiences",
  fields: {
    name: { kind: "string", required: true },
    value: { kind: "string", required: true },
    test: { kind: "boolean", default: false },
    createdAt: { kind: "number", required: true },
  },
  indexes: [
    { name: "value", fields: ["test", "value"], unique: true },
    { name: "created", fields: ["test", "createdAt"] },
  ],
});

/** Touchpoints. */
export const touchpointModel = defineModel<TouchpointDoc>({
  name: "touchpoints.touchpoints",
  fields: {
    experienceId: { kind: "string", required: true },
    name: { kind: "string", required: true },
    value: { kind: "string", required: true },
    test: { kind: "boolean", default: false },
    createdAt: { kind: "number", required: true },
  },
  indexes: [
    { name: "value", fields: ["experienceId", "value"], unique: true },
    { name: "experience", fields: ["experienceId", "createdAt"] },
    { name: "created", fields: ["test", "createdAt"] },
  ],
});

/** Visits. */
export const visitModel = defineModel<VisitDoc>({
  name: "touchpoints.visits",
  fields: {
    touchpointId: { kind: "string", required: true },
    experienceId: { kind: "string", required: true },
    userId: { kind: "string", required: true },
    at: { kind: "number", required: true },
    test: { kind: "boolean", default: false },
    position: { kind: "number", required: true },
  },
  indexes: [
    { name: "touchpoint", fields: ["touchpointId", "at"] },
    { name: "user", fields: ["test", "userId", "experienceId", "at"] },
    { name: "experience", fields: ["experienceId", "userId", "at"] },
  ],
});

/** Users of touchpoints. */
export const visitorModel = defineModel<VisitorDoc>({
  name: "touchpoints.visitors",
  fields: {
    touchpointId: { kind: "string", required: true },
    userId: { kind: "string", required: true },
    first: { kind: "number", required: true },
    position: { kind: "number", required: true },
  },
  indexes: [{ name: "touchpoint", fields: ["touchpointId", "first"] }],
});

/** Counts of touchpoints. */
export const countModel = defineModel<CountDoc>({
  name: "touchpoints.counts",
  fields: {
    total: { kind: "number", default: 0 },
    unique: { kind: "number", default: 0 },
    position: { kind: "number", required: true },
  },
  indexes: [],
});

/** Everything that the service stores. */
export const touchpointsModels = [experienceModel, touchpointModel, visitModel, visitorModel, countModel] as const;
