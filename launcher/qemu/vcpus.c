/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/vcpus.h"

#include "base/error.h"
#include "base/json.h"
#include "launcher/config/processors.h"

#include <errno.h>
#include <unistd.h>

typedef struct {
    pid_t pid;
    char **pin;
    CvdQmpReply done;
    gpointer user_data;
} Request;

static gint64 get_integer(JsonObject *object, const char *member)
{
    JsonNode *node = object != NULL ? json_object_get_member(object, member) : NULL;
    gboolean is_integer = node != NULL && JSON_NODE_HOLDS_VALUE(node) &&
                          json_node_get_value_type(node) == G_TYPE_INT64;

    return is_integer ? json_node_get_int(node) : -1;
}

/* Returns: (transfer full): the thread of each vCPU of @n; 0 where QEMU does not say */
static pid_t *read_threads(CvdJsonSpan result, guint n)
{
    g_autoptr(JsonNode) root = cvd_json_parse_leniently(result);
    JsonArray *vcpus = JSON_NODE_HOLDS_ARRAY(root) ? json_node_get_array(root) : NULL;
    pid_t *threads = g_new0(pid_t, n);

    for (guint i = 0; vcpus != NULL && i < json_array_get_length(vcpus); i++) {
        JsonNode *node = json_array_get_element(vcpus, i);
        JsonObject *vcpu = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        gint64 index = get_integer(vcpu, "cpu-index");
        gint64 thread = get_integer(vcpu, "thread-id");
        if (index >= 0 && index < n && thread > 0 && thread <= G_MAXINT)
            threads[index] = (pid_t)thread;
    }
    return threads;
}

static gboolean is_thread_of(pid_t pid, pid_t thread)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d", pid, thread);

    return access(path, F_OK) == 0;
}

static gboolean bind_vcpu(const Request *request, guint i, const pid_t *threads, GError **error)
{
    CvdProcessors processors = {0};

    for (guint k = 0; request->pin[k] != NULL; k++)
        if (threads[k] == threads[i])
            cvd_processors_parse(request->pin[k], &processors);
    if (threads[i] == 0)
        return cvd_fail(error, CVD_ERROR_PROTOCOL, "QEMU does not say which thread vCPU %u has", i);
    if (!is_thread_of(request->pid, threads[i]))
        return cvd_fail(error, CVD_ERROR_PROTOCOL,
                        "QEMU says that vCPU %u has thread %d, which is none of its own (pid %d)",
                        i, threads[i], request->pid);
    if (cvd_processors_set_allowed(threads[i], &processors) == 0)
        return TRUE;
    g_autofree char *list = cvd_processors_format(&processors);
    return cvd_fail(error, CVD_ERROR_FAILED, "vCPU %u cannot be bound to %s: %s", i, list,
                    g_strerror(errno));
}

static void on_answer(CvdJsonSpan result, const GError *refusal, gpointer data)
{
    g_autofree Request *request = data;
    guint n = g_strv_length(request->pin);
    g_autofree pid_t *threads = refusal == NULL ? read_threads(result, n) : NULL;
    g_autoptr(GError) error = NULL;

    for (guint i = 0; threads != NULL && i < n && error == NULL; i++)
        bind_vcpu(request, i, threads, &error);
    request->done((CvdJsonSpan){0}, refusal != NULL ? refusal : error, request->user_data);
}

void cvd_vcpus_pin(CvdQmp *qmp, pid_t pid, char **pin, CvdQmpReply done, gpointer user_data)
{
    Request *request = g_new(Request, 1);

    *request = (Request){.pid = pid, .pin = pin, .done = done, .user_data = user_data};
    cvd_qmp_execute(qmp, "query-cpus-fast", NULL, on_answer, request);
}
