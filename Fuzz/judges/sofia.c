// Sofia-SIP, which FreeSWITCH is made with.
#include <sofia-sip/msg.h>
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/url.h>
#include <stdlib.h>

#include "judge.h"

static void tell_uri(enum judged scheme, const url_t *url) {
  judge_string(scheme, url->url_scheme);
  judge_string(scheme + 1, url->url_user);
  judge_string(scheme + 2, url->url_host);
}

int judge(const char *message, size_t length) {
  msg_t *msg = msg_make(sip_default_mclass(), MSG_DO_EXTRACT_COPY, message, (ssize_t)length);
  if (msg == NULL) return 0;
  int taken = 0;
  const sip_t *sip = sip_object(msg);
  if (sip == NULL || sip->sip_error != NULL || (sip->sip_flags & (MSG_FLG_ERROR | MSG_FLG_TRUNC))) goto out;
  if (sip->sip_request != NULL) {
    judge_string(JUDGED_START, sip->sip_request->rq_method_name);
    tell_uri(JUDGED_SCHEME, sip->sip_request->rq_url);
    const char *port = sip->sip_request->rq_url->url_port;
    judge_number(JUDGED_PORT, port ? strtoul(port, NULL, 10) : 0);
  } else if (sip->sip_status != NULL) {
    judge_number(JUDGED_START, (unsigned long)sip->sip_status->st_status);
  } else {
    goto out;
  }
  if (!sip->sip_call_id || !sip->sip_cseq || !sip->sip_from || !sip->sip_to || !sip->sip_via) goto out;
  judge_string(JUDGED_CALL_ID, sip->sip_call_id->i_id);
  judge_number(JUDGED_CSEQ, sip->sip_cseq->cs_seq);
  judge_string(JUDGED_CSEQ_METHOD, sip->sip_cseq->cs_method_name);
  tell_uri(JUDGED_FROM_SCHEME, sip->sip_from->a_url);
  judge_string(JUDGED_FROM_TAG, sip->sip_from->a_tag);
  tell_uri(JUDGED_TO_SCHEME, sip->sip_to->a_url);
  judge_string(JUDGED_TO_TAG, sip->sip_to->a_tag);
  judge_string(JUDGED_VIA_HOST, sip->sip_via->v_host);
  judge_number(JUDGED_VIA_PORT, sip->sip_via->v_port ? strtoul(sip->sip_via->v_port, NULL, 10) : 0);
  judge_string(JUDGED_VIA_BRANCH, sip->sip_via->v_branch);
  judge_number(JUDGED_BODY, sip->sip_payload ? sip->sip_payload->pl_len : 0);
  taken = 1;
out:
  msg_destroy(msg);
  return taken;
}
