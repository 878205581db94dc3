/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cvd.json itself: its table, the readers of its own kinds of values, and what only shows when all
 * of it is read.
 */
#include "launcher/config/draft.h"

#include "launcher/config/access.h"
#include "launcher/config/qemu.h"
#include "launcher/lifecycle/policy.h"
#include "server/listener.h"

#include <string.h>

#define MAX_SECONDS       86400
#define MAX_CLIENTS       100000
#define MAX_VERSION_REPLY 64
#define MAX_SLOT          0x1f

gboolean cvd_is_instance_name(const char *name)
{
    static const char others[] = "_.-";

    gsize length = strlen(name);
    if (length < 1 || length > 32 || !g_ascii_isalnum(*name))
        return FALSE;
    for (; *name; name++) {
        if (!g_ascii_isalnum(*name) && !strchr(others, *name))
            return FALSE;
    }
    return TRUE;
}

static void read_name(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *name = cvd_node_get_string(node);
    if (name && cvd_is_instance_name(name))
        cvd_store_string(target, field->offset, g_strdup(name));
    else
        cvd_place_found(place, node, CVD_NAME_EXPECTED);
}

static void read_mode(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *string = cvd_node_get_string(node);
    guint64 mode = 0;
    if (string && strlen(string) <= 4 && g_ascii_isdigit(*string) &&
        g_ascii_string_to_unsigned(string, 8, 0, 0777, &mode, NULL))
        G_STRUCT_MEMBER(mode_t, target, field->offset) = (mode_t)mode;
    else
        cvd_place_found(place, node, "an octal mode as a string, such as \"0660\"");
}

static void read_socket(const CvdPlace *place, JsonNode *node, const CvdField *field,
                        gpointer target)
{
    g_autofree char *path = NULL;
    cvd_read_path(place, node, &(CvdField){.key = field->key}, &path);
    g_autoptr(GError) error = NULL;
    if (path && !cvd_listener_path_check(path, &error))
        cvd_place_problem(place, "%s", error->message);
    else if (path)
        cvd_store_string(target, field->offset, g_steal_pointer(&path));
}

static void read_slot(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *string = cvd_node_get_string(node);
    guint64 slot = 0;
    if (string && (g_str_has_prefix(string, "0x")) && strlen(string) <= 4 &&
        g_ascii_string_to_unsigned(string + 2, 16, 1, MAX_SLOT, &slot, NULL))
        G_STRUCT_MEMBER(guint, target, field->offset) = (guint)slot;
    else
        cvd_place_found(place, node, "a PCI slot from \"0x1\" to \"0x1f\"");
}

static void read_event(const CvdPlace *place, JsonNode *node, const CvdField *field,
                       gpointer target)
{
    static const struct {
        const char *word;
        CvdOnEvent event;
    } events[] = {
        {"exit", CVD_ON_EVENT_EXIT},
        {"continue", CVD_ON_EVENT_CONTINUE},
        {"restart", CVD_ON_EVENT_RESTART},
    };
    int index = CVD_DRAFT_UNSET;
    const CvdField word = {.words = field->words};

    cvd_read_word(place, node, &word, &index);
    for (gsize i = 0; index != CVD_DRAFT_UNSET && i < G_N_ELEMENTS(events); i++)
        if (strcmp(field->words[index], events[i].word) == 0)
            G_STRUCT_MEMBER(CvdOnEvent, target, field->offset) = events[i].event;
}

#define AT(member) G_STRUCT_OFFSET(CvdDraft, member)

static const char *const backing_words[] = {"memfd", "posix-shm", NULL}; /* CvdWindowBacking */
static const char *const stop_words[] = {"powerdown", "quit", NULL};     /* CvdStop */
static const char *const failure_words[] = {"exit", "restart", NULL};    /* read_event() */
static const char *const reboot_words[] = {"exit", "continue", "restart", NULL};
static const char *const hugepage_words[] = {"2M", "1G", NULL};
static const guint64 hugepage_sizes[] = {2 * 1024 * 1024, 1024 * 1024 * 1024};

static const CvdField window_fields[] = {
    {.key = "backing",
     .read = cvd_read_word,
     .offset = AT(config.window.backing),
     .words = backing_words},
    {.key = "path", .read = cvd_read_path, .offset = AT(config.window.path)},
    {.key = "size",
     .read = cvd_read_size,
     .offset = AT(window_size),
     .min = 1,
     .max = CVD_MAX_WINDOW_SIZE},
    {.key = "hugepages", .read = cvd_read_word, .offset = AT(hugepages), .words = hugepage_words},
    {.key = "prealloc", .read = cvd_read_boolean, .offset = AT(prealloc)},
    {.key = NULL},
};

static const CvdField socket_fields[] = {
    {.key = "vm", .read = read_socket, .offset = AT(config.vm_socket)},
    {.key = "client", .read = read_socket, .offset = AT(config.client_socket)},
    {.key = "legacy_client", .read = read_socket, .offset = AT(config.legacy_socket)},
    {.key = "version_reply",
     .read = cvd_read_string,
     .offset = AT(config.version_reply),
     .max = MAX_VERSION_REPLY},
    {.key = "mode", .read = read_mode, .offset = AT(config.socket_mode)},
    {.key = NULL},
};

static const CvdField limit_fields[] = {
    {.key = "clients",
     .read = cvd_read_uint,
     .offset = AT(config.max_clients),
     .min = 1,
     .max = MAX_CLIENTS},
    {.key = "handshake_timeout_ms",
     .read = cvd_read_uint,
     .offset = AT(config.handshake_timeout_ms),
     .min = 1,
     .max = MAX_SECONDS * 1000},
    {.key = NULL},
};

static const CvdField ivshmem_fields[] = {
    {.key = "address", .read = read_slot, .offset = AT(config.ivshmem_slot)},
    {.key = "force_bus_master",
     .read = cvd_read_boolean,
     .offset = AT(config.ivshmem_force_bus_master)},
    {.key = NULL},
};

static const CvdField lifecycle_fields[] = {
    {.key = "stop", .read = cvd_read_word, .offset = AT(config.stop), .words = stop_words},
    {.key = "stop_timeout_s",
     .read = cvd_read_uint,
     .offset = AT(config.stop_timeout_s),
     .min = 1,
     .max = MAX_SECONDS},
    {.key = "start_timeout_s",
     .read = cvd_read_uint,
     .offset = AT(config.start_timeout_s),
     .min = 1,
     .max = MAX_SECONDS},
    {.key = "on_crash", .read = read_event, .offset = AT(config.on_crash), .words = failure_words},
    {.key = "on_panic", .read = read_event, .offset = AT(config.on_panic), .words = failure_words},
    {.key = "on_reboot", .read = read_event, .offset = AT(config.on_reboot), .words = reboot_words},
    {.key = "restart_limit",
     .read = cvd_read_uint,
     .offset = AT(config.restart_limit),
     .min = 0,
     .max = CVD_RESTART_MAX_LIMIT},
    {.key = "restart_delay_ms",
     .read = cvd_read_uint,
     .offset = AT(config.restart_delay_ms),
     .min = 0,
     .max = CVD_RESTART_MAX_DELAY_MS},
    {.key = "qmp_timeout_s",
     .read = cvd_read_uint,
     .offset = AT(config.qmp_timeout_s),
     .min = 0,
     .max = MAX_SECONDS},
    {.key = NULL},
};

static const CvdField cvd_fields[] = {
    {.key = "name", .read = read_name, .offset = AT(config.name)},
    {.key = "layout", .read = cvd_read_nothing},
    {.key = "qemu", .read = cvd_read_nothing},
    {.key = "window", .read = cvd_read_object, .fields = window_fields},
    {.key = "sockets", .read = cvd_read_object, .fields = socket_fields},
    {.key = "limits", .read = cvd_read_object, .fields = limit_fields},
    {.key = "ivshmem", .read = cvd_read_object, .fields = ivshmem_fields},
    {.key = "lifecycle", .read = cvd_read_object, .fields = lifecycle_fields},
    {.key = "access", .read = cvd_access_read, .offset = AT(config.access)},
    {.key = NULL},
};

CvdDraft *cvd_draft_new(void)
{
    CvdDraft *draft = g_new0(CvdDraft, 1);
    draft->hugepages = CVD_DRAFT_UNSET;
    draft->prealloc = CVD_DRAFT_UNSET;
    draft->config = (CvdConfig){
        .name = g_strdup("cvd-1"),
        .window.backing = CVD_WINDOW_MEMFD,
        .version_reply = g_strdup("PROTOCOL_VER 0"),
        .socket_mode = 0600,
        .max_clients = 1024,
        .handshake_timeout_ms = 5000,
        .ivshmem_slot = 0x10,
        .stop = CVD_STOP_POWERDOWN,
        .stop_timeout_s = 10,
        .restart_delay_ms = 1000,
        .start_timeout_s = 30,
        .on_crash = CVD_ON_EVENT_EXIT,
        .on_panic = CVD_ON_EVENT_EXIT,
        .on_reboot = CVD_ON_EVENT_CONTINUE,
        .restart_limit = 5,
    };
    return draft;
}

void cvd_config_free(CvdConfig *config)
{
    if (!config)
        return;
    g_free(config->name);
    g_clear_pointer(&config->layout, cvd_layout_unref);
    g_free((char *)config->window.path);
    g_free(config->vm_socket);
    g_free(config->client_socket);
    g_free(config->legacy_socket);
    g_free(config->version_reply);
    g_clear_pointer(&config->access, cvd_access_rules_unref);
    cvd_qemu_config_clear(&config->qemu);
    g_free(config); /* the first member of its draft */
}

static void check_window(const CvdPlace *root, CvdDraft *draft)
{
    CvdWindowOptions *window = &draft->config.window;
    CvdPlace place = *root;
    place.path = "window";
    if (window->backing == CVD_WINDOW_POSIX_SHM && !window->path)
        cvd_place_problem(&place, "backing \"posix-shm\" needs \"path\", such as "
                                  "\"/dev/shm/ivshmem\"");
    if (window->backing == CVD_WINDOW_MEMFD && window->path)
        cvd_place_problem(&place, "\"path\" is for backing \"posix-shm\"; a memfd has no name");
    if (window->backing == CVD_WINDOW_POSIX_SHM && draft->hugepages != CVD_DRAFT_UNSET)
        cvd_place_problem(&place, "\"hugepages\" is for backing \"memfd\" alone");
    if (draft->hugepages != CVD_DRAFT_UNSET)
        window->hugepage_size = hugepage_sizes[draft->hugepages];
}

static void check_different(const CvdPlace *place, const char *a, const char *b)
{
    if (a && b && strcmp(a, b) == 0)
        cvd_place_problem(place, "two sockets at %s; each needs a path of its own", a);
}

static void check_sockets(const CvdPlace *root, const CvdConfig *config)
{
    CvdPlace place = *root;
    place.path = "sockets";
    check_different(&place, config->vm_socket, config->client_socket);
    check_different(&place, config->vm_socket, config->legacy_socket);
    check_different(&place, config->client_socket, config->legacy_socket);
}

void cvd_draft_read(CvdDraft *draft, const CvdPlace *place, JsonNode *node)
{
    cvd_fields_read(place, node, cvd_fields, draft);
    check_window(place, draft);
    check_sockets(place, &draft->config);
}
