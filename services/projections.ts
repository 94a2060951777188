import type { Doc, Model } from "#runtime/model.ts";
import { poisonModel } from "#runtime/runner/poison.ts";
import type { Projection } from "#runtime/service.ts";
import { accessModels } from "./access/model.ts";
import { analyticsModels } from "./analytics/model.ts";
import { codesModels } from "./codes/model.ts";
import { emergencyModels } from "./emergency/model.ts";
import { emergencyProjection } from "./emergency/project.ts";
import { impressionsModels } from "./impressions/model.ts";
import { impressionsProjection } from "./impressions/project.ts";
import { scansModels } from "./scans/model.ts";
import { scansProjection } from "./scans/project.ts";
import { tagsModels } from "./tags/model.ts";
import { tagsProjection } from "./tags/project.ts";
import { touchpointsModels } from "./touchpoints/model.ts";
import { touchpointsProjection } from "./touchpoints/project.ts";

/** The projections of all services that the all-in-one runs in the thread that writes the store. */
export const projections: readonly Projection[] = [
  scansProjection,
  impressionsProjection,
  touchpointsProjection,
  tagsProjection,
  emergencyProjection,
];

/** Models of everything that lies in that store: those of all services, and what projections set aside. */
export const models: readonly Model<Doc>[] = [
  poisonModel,
  ...accessModels,
  ...codesModels,
  ...scansModels,
  ...impressionsModels,
  ...touchpointsModels,
  ...tagsModels,
  ...emergencyModels,
  ...analyticsModels,
];
