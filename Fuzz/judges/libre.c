// libre, which baresip is made with.
// Its header wants these to be there.
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <re/re.h>

#include "judge.h"

static void tell(enum judged field, const struct pl *pl) {
  if (pl_isset(pl)) judge_text(field, pl->p, pl->l);
}

// Scheme, user and host stand one behind the other in `enum judged`.
static void tell_uri(enum judged scheme, const struct uri *uri) {
  tell(scheme, &uri->scheme);
  tell(scheme + 1, &uri->user);
  tell(scheme + 2, &uri->host);
}

int judge(const char *message, size_t length) {
  struct mbuf *buffer = mbuf_alloc(length ? length : 1);
  struct sip_msg *msg = NULL;
  int taken = 0;
  if (mbuf_write_mem(buffer, (const uint8_t *)message, length)) goto out;
  buffer->pos = 0;
  if (sip_msg_decode(&msg, buffer)) goto out;
  if (msg->req) {
    tell(JUDGED_START, &msg->met);
    tell_uri(JUDGED_SCHEME, &msg->uri);
    judge_number(JUDGED_PORT, msg->uri.port);
  } else {
    judge_number(JUDGED_START, msg->scode);
  }
  tell(JUDGED_CALL_ID, &msg->callid);
  judge_number(JUDGED_CSEQ, msg->cseq.num);
  tell(JUDGED_CSEQ_METHOD, &msg->cseq.met);
  tell_uri(JUDGED_FROM_SCHEME, &msg->from.uri);
  tell(JUDGED_FROM_TAG, &msg->from.tag);
  tell_uri(JUDGED_TO_SCHEME, &msg->to.uri);
  tell(JUDGED_TO_TAG, &msg->to.tag);
  struct pl host = PL_INIT, port = PL_INIT;
  if (uri_decode_hostport(&msg->via.sentby, &host, &port) == 0) {
    tell(JUDGED_VIA_HOST, &host);
    judge_number(JUDGED_VIA_PORT, pl_isset(&port) ? pl_u32(&port) : 0);
  }
  tell(JUDGED_VIA_BRANCH, &msg->via.branch);
  size_t left = mbuf_get_left(msg->mb), said = pl_isset(&msg->clen) ? pl_u32(&msg->clen) : left;
  judge_number(JUDGED_BODY, said < left ? said : left);
  // What it leaves to others to look at: without these it would not go on with the message.
  taken = pl_isset(&msg->callid) && pl_isset(&msg->cseq.met) && pl_isset(&msg->from.auri) && pl_isset(&msg->to.auri) &&
          pl_isset(&msg->via.sentby);
out:
  mem_deref(msg);
  mem_deref(buffer);
  return taken;
}
