import { Code } from "@connectrpc/connect";
import { failures } from "#runtime/failure.ts";

/** Refusals of the analytics service. */
export const fail = failures("analytics.waymark", {
  RANGE_REVERSED: { code: Code.InvalidArgument, say: (f) => `${f.field} must not be before the start date` },
  TOO_MANY_INTERVALS: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} gives ${f.intervals} intervals; take longer ones, at most 10,000`,
  },
  PAGE_TOKEN_INVALID: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} is not from an earlier page of the same question; begin without it`,
  },
  TIMEZONE_UNKNOWN: { code: Code.InvalidArgument, say: (f) => `${f.field} must be a time zone of the IANA database` },
  DIMENSION_UNKNOWN: { code: Code.InvalidArgument, say: (f) => `${f.field} must be one of: ${f.known}` },
  TOO_MANY_POINTS: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} gives ${f.points} points in all; take fewer series or longer intervals, at most 20,000`,
  },
  COHORTS_TOO_MANY: {
    code: Code.InvalidArgument,
    say: (f) =>
      `${f.field}: the range has ${f.intervals} intervals; take longer ones or a shorter range, at most ${f.most}`,
  },
  FIELD_UNKNOWN: { code: Code.InvalidArgument, say: (f) => `${f.field} must be one of: ${f.known}` },
  FIELD_NOT_HERE: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field}: ${f.name} looks at the past of visitors and cannot be asked here`,
  },
  OPERATOR_NOT_TAKEN: { code: Code.InvalidArgument, say: (f) => `${f.field}: ${f.name} takes ${f.known}` },
  VALUE_KIND: { code: Code.InvalidArgument, say: (f) => `${f.field} must be ${f.what}, as ${f.name} is` },
  VALUES_COUNT: { code: Code.InvalidArgument, say: (f) => `${f.field} must have 1 to ${f.most} values` },
  TOO_MANY_CONDITIONS: { code: Code.InvalidArgument, say: (f) => `${f.field}: at most ${f.most} conditions in all` },
  CONDITION_TOO_DEEP: { code: Code.InvalidArgument, say: (f) => `${f.field} nests deeper than ${f.most} levels` },
  CONDITION_AMBIGUOUS: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} must be absent where anyOf is given`,
  },
  FORECAST_TOO_THIN: {
    code: Code.FailedPrecondition,
    isUnanswerable: true,
    say: (f) =>
      `a forecast needs ${f.needsDays} complete days with ${f.needsEvents} events in all; here are ${f.days} days with ${f.events}`,
  },
  BEST_TIME_TOO_THIN: {
    code: Code.FailedPrecondition,
    isUnanswerable: true,
    say: (f) =>
      `the best time needs ${f.needsEvents} events over ${f.needsWeeks} weeks; here are ${f.events} over ${f.weeks} weeks`,
  },
  MODEL_TOO_THIN: {
    code: Code.FailedPrecondition,
    isUnanswerable: true,
    say: (f) =>
      `a model needs ${f.needs} visitors who converted ${f.where}, and as many who did not; here are ${f.positives} and ${f.negatives}`,
  },
  VISITOR_NOT_FOUND: { code: Code.NotFound, say: (f) => `there is no visitor ${f.visitorId}` },
  ATTRIBUTE_NOT_FOUND: { code: Code.NotFound, say: (f) => `visitor ${f.visitorId} has no attribute ${f.key}` },
  EVENT_NOT_FOUND: { code: Code.NotFound, say: (f) => `there is no event ${f.eventId}` },
  EVENT_UNSCORED: {
    code: Code.NotFound,
    say: (f) => `the device of event ${f.eventId} is not known, so nobody is scored by it`,
  },
  MODEL_NOT_FOUND: { code: Code.NotFound, say: (f) => `there is no scoring model ${f.modelId}` },
  SCORING_CHANGED: {
    code: Code.Aborted,
    say: (f) => `the weights are of version ${f.version} now; read them again`,
  },
  QUERY_MIXED: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} asks for single rows and cannot stand beside groupBy, select and interval`,
  },
  QUERY_WIDE: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} must be at most ${f.most} with ${f.columns} columns`,
  },
  QUERY_UNPAGED: { code: Code.InvalidArgument, say: (f) => `${f.field} goes with fields only; groups have no pages` },
  QUERY_FIELD_NEEDED: { code: Code.InvalidArgument, say: (f) => `${f.field} is needed: ${f.fn} is of a field` },
  QUERY_FIELD_KIND: { code: Code.InvalidArgument, say: (f) => `${f.field}: ${f.fn} cannot be of ${f.name}` },
  QUERY_NAME_TWICE: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} has two columns of the name ${f.name}; name one with as`,
  },
  SEGMENT_NOT_FOUND: { code: Code.NotFound, say: (f) => `there is no segment ${f.segmentId}` },
  SEGMENT_NAME_TAKEN: { code: Code.AlreadyExists, say: (f) => `${f.field} is the name of another segment` },
  SEGMENT_EMPTY: { code: Code.InvalidArgument, say: (f) => `${f.field} needs a condition or a behaviour` },
  WORD_UNKNOWN: { code: Code.InvalidArgument, say: (f) => `${f.field} must be one of: ${f.known}` },
  EXPORT_NOT_FOUND: { code: Code.NotFound, say: (f) => `there is no export ${f.exportId}` },
  EXPORT_FILE_NOT_FOUND: { code: Code.NotFound, say: (f) => `export ${f.exportId} has no file ${f.number}` },
  EXPORT_UNFINISHED: {
    code: Code.FailedPrecondition,
    isUnanswerable: true,
    say: (f) => `the files of export ${f.exportId} are not there yet; ask again when its status is DONE`,
  },
  EXPORT_ELSEWHERE: {
    code: Code.Unavailable,
    say: (f) => `the files of export ${f.exportId} are being made again; try again shortly`,
  },
  EXPORTS_FULL: {
    code: Code.FailedPrecondition,
    isUnanswerable: true,
    say: (f) =>
      `the files of exports take all ${f.gb} GB that they may; delete exports that are not needed and begin again`,
  },
  EXPORTS_BUSY: {
    code: Code.ResourceExhausted,
    say: (f) => `${f.most} exports of this workspace are not done yet; wait for one of them`,
  },
  REVISION_RULES_MISSING: { code: Code.InvalidArgument, say: (f) => `${f.field} must have a rule` },
  REVISION_NOT_FOUND: { code: Code.NotFound, say: (f) => `there is no revision ${f.revisionId}` },
  REVISION_NOT_READY: {
    code: Code.Aborted,
    say: (f) => `revision ${f.revisionId} is ${f.state}; only one that is ready can be applied`,
  },
  REVISION_STALE: {
    code: Code.Aborted,
    say: (f) =>
      `revision ${f.other} has changed events of revision ${f.revisionId} since that was computed; make it anew`,
  },
  REVISION_APPLIED: {
    code: Code.Aborted,
    say: (f) => `revision ${f.revisionId} is ${f.state} and cannot be discarded; revise again by other rules`,
  },
  REVISION_TOO_LARGE: {
    code: Code.FailedPrecondition,
    isUnanswerable: true,
    say: (f) => `${f.changed} events would change; take a shorter range, at most ${f.most} change at once`,
  },
  REVISIONS_BUSY: {
    code: Code.ResourceExhausted,
    say: (f) => `${f.most} revisions of this workspace are not applied yet; apply or discard one of them`,
  },
  VISITOR_DATA: { code: Code.InvalidArgument, say: (f) => `${f.field} ${f.must}` },
  VISITOR_BUSY: { code: Code.Aborted, say: () => "others are changing this visitor; try again" },
  LBID_INVALID: { code: Code.InvalidArgument, say: (f) => `${f.field} is not the base64url of an event's id` },
  LBID_UNKNOWN: { code: Code.NotFound, say: (f) => `${f.field} names no event` },
  LBID_NAMELESS: {
    code: Code.FailedPrecondition,
    isUnanswerable: true,
    say: (f) => `the device of the event of ${f.field} is not known, so nobody can be told by it`,
  },
  QUERY_TIMEOUT: {
    code: Code.DeadlineExceeded,
    isUnanswerable: true,
    say: () => "the query took too long; narrow the time range",
  },
  QUERY_TOO_LARGE: {
    code: Code.FailedPrecondition,
    isUnanswerable: true,
    say: () => "the query needs too much memory; narrow the time range",
  },
  BUSY: { code: Code.Unavailable, say: () => "too many queries are waiting; try again shortly" },
  NOT_READY: {
    code: Code.Unavailable,
    say: () => "the events are being made ready from the log; try again shortly",
  },
});
