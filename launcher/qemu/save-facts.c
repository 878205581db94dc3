/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/save-facts.h"

#include "base/error.h"
#include "base/json.h"
#include "launcher/config/place.h"
#include "launcher/qemu/save-check.h"

#include <string.h>

/* Of a word that QEMU says of itself, in bytes. */
#define MAX_WORD 128

typedef struct {
    CvdQmp *qmp;
    const CvdConfig *config;
    CvdSaveAsked asked;
    gpointer user_data;
    guint n_answers;
    CvdSaveFacts facts;
} Asking;

static const char *get_text(JsonNode *object, const char *member)
{
    return cvd_node_get_string(cvd_node_get_member(object, member));
}

static gboolean check_status(Asking *asking, JsonNode *answer, GError **error)
{
    if (g_strcmp0(get_text(answer, "status"), "postmigrate") != 0)
        return TRUE;
    return cvd_fail(error, CVD_ERROR_BUSY,
                    "the guest has stood still since it was saved before, which QEMU does once: "
                    "resume it first (cvd-ctl resume)");
}

static gboolean take_disks(Asking *asking, JsonNode *answer, GError **error)
{
    asking->facts.disks = cvd_save_find_disks(asking->config, answer, error);
    return asking->facts.disks != NULL;
}

static gboolean take_memory(Asking *asking, JsonNode *answer, GError **error)
{
    asking->facts.has_other_shared_memory = cvd_save_has_other_shared_memory(answer);
    return TRUE;
}

/* QEMU may say anything. */
static gboolean is_word(const char *text)
{
    gsize n = text != NULL ? strspn(text, "0123456789.-_+~" G_CSET_A_2_Z G_CSET_a_2_z) : 0;

    return n > 0 && n <= MAX_WORD && text[n] == '\0';
}

static gboolean take_machine(Asking *asking, JsonNode *answer, GError **error)
{
    static const char suffix[] = "-machine";
    const char *type = cvd_node_get_string(answer);

    asking->facts.qemu_version = cvd_qmp_get_version(asking->qmp);
    if (!is_word(type) || !g_str_has_suffix(type, suffix) || asking->facts.qemu_version == NULL)
        return cvd_fail(error, CVD_ERROR_FAILED,
                        "QEMU does not say which version and which machine it is");
    asking->facts.machine = g_strndup(type, strlen(type) - strlen(suffix));
    return TRUE;
}

static gboolean take_accel(Asking *asking, JsonNode *answer, GError **error)
{
    JsonNode *enabled = cvd_node_get_member(answer, "enabled");
    gboolean is_kvm = enabled != NULL && json_node_get_value_type(enabled) == G_TYPE_BOOLEAN &&
                      json_node_get_boolean(enabled);

    asking->facts.accel = g_strdup(is_kvm ? "kvm" : "tcg");
    return TRUE;
}

static const struct {
    const char *command;
    const char *arguments;
    gboolean (*take)(Asking *asking, JsonNode *answer, GError **error);
} questions[] = {
    {"query-status", NULL, check_status},
    {"query-block", NULL, take_disks},
    {"query-memdev", NULL, take_memory},
    {"qom-get", "{\"path\":\"/machine\",\"property\":\"type\"}", take_machine},
    {"query-kvm", NULL, take_accel},
};

static void end(Asking *asking, const GError *error)
{
    asking->asked(error == NULL ? &asking->facts : NULL, error, asking->user_data);
    g_clear_pointer(&asking->facts.disks, g_ptr_array_unref);
    g_free(asking->facts.qemu_version);
    g_free(asking->facts.machine);
    g_free(asking->facts.accel);
    g_free(asking);
}

static void ask(Asking *asking);

static void on_answer(CvdJsonSpan result, const GError *qemu_error, gpointer data)
{
    Asking *asking = data;
    g_autoptr(JsonNode) answer = cvd_json_parse_leniently(result);
    g_autoptr(GError) error = qemu_error != NULL ? g_error_copy(qemu_error) : NULL;

    if (error == NULL)
        questions[asking->n_answers].take(asking, answer, &error);
    asking->n_answers++;
    if (error == NULL && asking->n_answers < G_N_ELEMENTS(questions))
        ask(asking);
    else
        end(asking, error);
}

static void ask(Asking *asking)
{
    cvd_qmp_execute(asking->qmp, questions[asking->n_answers].command,
                    questions[asking->n_answers].arguments, on_answer, asking);
}

void cvd_save_ask(CvdQmp *qmp, const CvdConfig *config, CvdSaveAsked asked, gpointer user_data)
{
    Asking *asking = g_new0(Asking, 1);

    asking->qmp = qmp;
    asking->config = config;
    asking->asked = asked;
    asking->user_data = user_data;
    ask(asking);
}
