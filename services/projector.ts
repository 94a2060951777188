import { parentPort, workerData } from "node:worker_threads";
import { type ProjectorData, serveProjector } from "#runtime/projector.ts";

// Entry of the projector thread of the all-in-one. In any other thread this module does nothing.
const data = workerData as ProjectorData | null;
if (parentPort !== null && data?.role === "waymark-projector") await serveProjector(parentPort, data);
