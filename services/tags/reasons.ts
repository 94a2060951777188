import { Code } from "@connectrpc/connect";
import { failures } from "#runtime/failure.ts";

/** Refusals of the tags service. */
export const fail = failures("tags.waymark", {
  TAG_NOT_FOUND: { code: Code.NotFound, say: (f) => `Tag with id '${f.tagId}' not found` },
  TAG_EXISTS: { code: Code.AlreadyExists, say: (f) => `A tag with id '${f.tagId}' exists already; choose another id` },
  TAG_CHANGED: { code: Code.Aborted, say: (f) => `Tag '${f.tagId}' was changed by somebody else meanwhile; try again` },
  STATUS_STEP: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} cannot go from ${f.from} to ${f.to}; it can go to ${f.allowed}`,
  },
  STATUS_INITIAL: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} of a new tag must be one of ACTIVE, PENDING_SETUP, LOST`,
  },
  FIELD_INVALID: { code: Code.InvalidArgument, say: (f) => `${f.field} ${f.must}` },
  CONTACT_DISABLED: { code: Code.PermissionDenied, say: () => "The owner of this tag takes no messages" },
  RELAY_ENDED: { code: Code.PermissionDenied, say: () => "This tag passes no messages on" },
  CONTACT_LIMIT: {
    code: Code.ResourceExhausted,
    say: (f) => `Too many messages for now; try again in ${f.seconds} s`,
  },
  THREAD_NOT_FOUND: { code: Code.NotFound, say: () => "There is no such thread" },
  THREAD_ENDED: { code: Code.PermissionDenied, say: (f) => `This thread is ${f.status} and takes no messages` },
  NOTIFICATION_NOT_FOUND: { code: Code.NotFound, say: (f) => `Notification with id '${f.notificationId}' not found` },
});
