/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/qmp-message.h"

#include "base/error.h"
#include "base/json.h"

#include <string.h>

static char *span_dup(CvdJsonSpan span)
{
    return span.text != NULL ? g_strndup(span.text, span.size) : NULL;
}

static CvdJsonSpan span_of(const char *text)
{
    return (CvdJsonSpan){text, strlen(text)};
}

/* ---- Commands ---- */

/* If it were not one JSON object, QEMU would answer more than once. */
gboolean cvd_qmp_request_parse(const char *given, CvdQmpRequest *request, GError **error)
{
    static const char *const keys[] = {"id", "execute", NULL};
    CvdJsonSpan found[2];

    *request = (CvdQmpRequest){0};
    g_autoptr(JsonNode) root = cvd_json_from_string(given, error);
    if (root == NULL)
        return FALSE;
    request->text = cvd_json_text_format(given, strlen(given), FALSE);
    cvd_json_find(span_of(request->text), keys, found);
    request->id = found[0];
    if (found[1].text == NULL || *found[1].text != '"')
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "expected {\"execute\": \"COMMAND\", \"arguments\": {…}, \"id\": …}");
    request->name = span_dup(found[1]);
    return TRUE;
}

void cvd_qmp_request_clear(CvdQmpRequest *request)
{
    g_clear_pointer(&request->text, g_free);
    g_clear_pointer(&request->name, g_free);
}

char *cvd_qmp_request_with_id(const CvdQmpRequest *request, gint64 id)
{
    const char *text = request->text;

    if (request->id.text == NULL)
        return g_strdup_printf("{\"id\":%" G_GINT64_FORMAT ",%s", id, text + 1);
    return g_strdup_printf("%.*s%" G_GINT64_FORMAT "%s", (int)(request->id.text - text), text, id,
                           request->id.text + request->id.size);
}

/* ---- Replies ---- */

char *cvd_qmp_reply(const char *member, CvdJsonSpan value, const char *id)
{
    GString *reply = g_string_new(NULL);

    g_string_printf(reply, "{\"%s\": ", member);
    g_string_append_len(reply, value.text, (gssize)value.size);
    if (id != NULL)
        g_string_append_printf(reply, ", \"id\": %s", id);
    g_string_append_c(reply, '}');
    return g_string_free(reply, FALSE);
}

char *cvd_qmp_refusal(const char *error_class, const char *description, const char *id)
{
    g_autofree char *valid = g_utf8_make_valid(description, -1);
    g_autoptr(JsonNode) node = json_node_init_string(json_node_alloc(), valid);
    g_autofree char *string = cvd_json_to_string(node, FALSE);
    g_autofree char *error =
        g_strdup_printf("{\"class\": \"%s\", \"desc\": %s}", error_class, string);

    return cvd_qmp_reply("error", span_of(error), id);
}

char *cvd_qmp_greeting(CvdJsonSpan from_qemu)
{
    static const char *const keys[] = {"version", NULL};
    CvdJsonSpan version;

    cvd_json_find(from_qemu, keys, &version);
    g_autofree char *text = version.size > 0 && version.size <= CVD_QMP_MAX_VERSION
                                ? cvd_json_text_format(version.text, version.size, FALSE)
                                : g_strdup("");
    g_autoptr(JsonNode) node = cvd_json_from_string(text, NULL);
    gboolean is_object = node != NULL && JSON_NODE_HOLDS_OBJECT(node);
    return g_strdup_printf("{\"QMP\": {\"version\": %s, \"capabilities\": []}}",
                           is_object ? text : "{}");
}

static gboolean get_part(JsonObject *version, const char *name, guint *part)
{
    JsonNode *node = json_object_get_member(version, name);
    gint64 value = node != NULL && json_node_get_value_type(node) == G_TYPE_INT64
                       ? json_node_get_int(node)
                       : -1;

    *part = (guint)value;
    return value >= 0 && value <= G_MAXUINT;
}

static JsonObject *get_object(JsonObject *object, const char *name)
{
    JsonNode *node = object != NULL ? json_object_get_member(object, name) : NULL;

    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

char *cvd_qmp_version_of_greeting(const char *greeting)
{
    g_autoptr(JsonNode) node = cvd_json_from_string(greeting, NULL);
    JsonObject *root = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    JsonObject *version = get_object(get_object(get_object(root, "QMP"), "version"), "qemu");
    guint major, minor, micro;

    if (version == NULL || !get_part(version, "major", &major) ||
        !get_part(version, "minor", &minor) || !get_part(version, "micro", &micro))
        return NULL;
    return g_strdup_printf("%u.%u.%u", major, minor, micro);
}

/* ---- Instead of QEMU ---- */

/* Whether a client asks for something that has not been offered. */
static gboolean wants_capabilities(CvdJsonSpan arguments)
{
    static const char *const keys[] = {"enable", NULL};
    CvdJsonSpan enable;

    if (arguments.text == NULL)
        return FALSE;
    cvd_json_find(arguments, keys, &enable);
    g_autofree char *text = enable.text != NULL
                                ? cvd_json_text_format(enable.text, enable.size, FALSE)
                                : g_strdup("[]");
    return strcmp(text, "[]") != 0;
}

static char *negotiate(gboolean *is_negotiated, CvdJsonSpan arguments, const char *id)
{
    if (*is_negotiated)
        return cvd_qmp_refusal("CommandNotFound", "the capabilities are negotiated already", id);
    if (wants_capabilities(arguments))
        return cvd_qmp_refusal("GenericError",
                               "cvd-launch offers none of the capabilities in 'enable'", id);
    *is_negotiated = TRUE;
    return cvd_qmp_reply("return", span_of("{}"), id);
}

static gboolean takes_descriptor(const char *name)
{
    return strcmp(name, "\"getfd\"") == 0 || strcmp(name, "\"add-fd\"") == 0;
}

char *cvd_qmp_answer_for_qemu(gboolean *is_negotiated, const char *command)
{
    static const char *const keys[] = {"arguments", "exec-oob", NULL};
    g_auto(CvdQmpRequest) request;
    g_autoptr(GError) error = NULL;
    CvdJsonSpan found[2] = {0};
    gboolean is_command = cvd_qmp_request_parse(command, &request, &error);

    if (request.text != NULL)
        cvd_json_find(span_of(request.text), keys, found);
    g_autofree char *id = span_dup(request.id);
    if (found[1].text != NULL)
        return cvd_qmp_refusal("GenericError", "cvd-launch takes no commands out of band", id);
    if (!is_command)
        return cvd_qmp_refusal("GenericError", error->message, id);
    if (strcmp(request.name, "\"qmp_capabilities\"") == 0)
        return negotiate(is_negotiated, found[0], id);
    if (!*is_negotiated)
        return cvd_qmp_refusal("CommandNotFound", "expected qmp_capabilities before any other", id);
    if (takes_descriptor(request.name))
        return cvd_qmp_refusal("GenericError",
                               "cvd-launch passes no descriptors on; give QEMU the path of a file",
                               id);
    return NULL;
}
