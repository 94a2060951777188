import type { Doc, Model } from "#runtime/model.ts";
import { exportModel, taskModel } from "./exports/model.ts";
import { forecastModel } from "./forecast/model.ts";
import { partModel, revisionModel, revisionTaskModel } from "./revisions/model.ts";
import { trainingModel, weightsModel } from "./scoring/model.ts";
import { segmentModel, segmentNameModel } from "./segments/model.ts";
import { claimModel, visitorModel } from "./visitors/model.ts";

/** Everything that the service stores beside its table of events; each model stands where it is used. */
export const analyticsModels: readonly Model<Doc>[] = [
  segmentModel,
  segmentNameModel,
  exportModel,
  taskModel,
  forecastModel,
  trainingModel,
  weightsModel,
  claimModel,
  visitorModel,
  revisionModel,
  partModel,
  revisionTaskModel,
];
