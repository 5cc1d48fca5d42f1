// GNU oSIP.
#include <osipparser2/osip_parser.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "judge.h"

static void tell_uri(enum judged scheme, const osip_uri_t *uri) {
  if (uri == NULL) return;
  judge_string(scheme, uri->scheme);
  judge_string(scheme + 1, uri->username);
  judge_string(scheme + 2, uri->host);
}

static void tell_tag(enum judged field, osip_from_t *address) {
  osip_generic_param_t *tag = NULL;
  if (osip_from_get_tag(address, &tag) == 0 && tag != NULL) judge_string(field, tag->gvalue);
}

int judge(const char *message, size_t length) {
  static int ready;
  if (!ready) ready = parser_init() == 0;
  osip_message_t *msg = NULL;
  if (osip_message_init(&msg)) return 0;
  int taken = 0;
  if (osip_message_parse(msg, message, length)) goto out;
  if (msg->sip_method != NULL) {
    judge_string(JUDGED_START, msg->sip_method);
    tell_uri(JUDGED_SCHEME, msg->req_uri);
    if (msg->req_uri != NULL) judge_number(JUDGED_PORT, msg->req_uri->port ? strtoul(msg->req_uri->port, NULL, 10) : 0);
  } else {
    judge_number(JUDGED_START, (unsigned long)msg->status_code);
  }
  osip_via_t *via = osip_list_get(&msg->vias, 0);
  if (!msg->call_id || !msg->cseq || !msg->from || !msg->to || !via) goto out;
  // It takes a Call-ID apart at its @.
  char *id = NULL;
  if (osip_call_id_to_str(msg->call_id, &id) == 0) judge_string(JUDGED_CALL_ID, id);
  osip_free(id);
  judge_number(JUDGED_CSEQ, msg->cseq->number ? strtoul(msg->cseq->number, NULL, 10) : 0);
  judge_string(JUDGED_CSEQ_METHOD, msg->cseq->method);
  tell_uri(JUDGED_FROM_SCHEME, msg->from->url);
  tell_tag(JUDGED_FROM_TAG, msg->from);
  tell_uri(JUDGED_TO_SCHEME, msg->to->url);
  tell_tag(JUDGED_TO_TAG, msg->to);
  judge_string(JUDGED_VIA_HOST, via->host);
  judge_number(JUDGED_VIA_PORT, via->port ? strtoul(via->port, NULL, 10) : 0);
  osip_generic_param_t *branch = NULL;
  if (osip_via_param_get_byname(via, "branch", &branch) == 0 && branch) judge_string(JUDGED_VIA_BRANCH, branch->gvalue);
  osip_body_t *body = osip_list_get(&msg->bodies, 0);
  judge_number(JUDGED_BODY, body ? body->length : 0);
  taken = 1;
out:
  osip_message_free(msg);
  return taken;
}
