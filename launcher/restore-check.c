/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a machine fits no other machine. What QEMU would find out, it would say in words of
 * its own, or not at all; so whatever the guest has seen of the hardware is compared here, as the
 * configurations have it.
 */
#include "launcher/restore.h"

#include "base/json.h"
#include "launcher/config/json-file.h"
#include "launcher/config/keys.h"
#include "launcher/config/layout-print.h"
#include "launcher/config/place.h"

#include <string.h>

#define REMEDY                                                                                     \
    "leave it as it was, in --set and --config, or boot without --from and take another snapshot"

/* Of the configuration. */
static const char *const fixed[] = {
    "qemu.machine", "qemu.cpu",        "qemu.smp",        "qemu.firmware",
    "qemu.devices", "qemu.watchdog_s", "ivshmem.address",
};

typedef struct {
    const CvdRestore *restore;
    GPtrArray *problems;
} Check;

/* Returns: (transfer full): the value at @path, as a file may have it */
static char *print(JsonNode *node)
{
    return node != NULL ? cvd_json_to_string(node, FALSE) : g_strdup("nothing");
}

static JsonNode *find(JsonNode *root, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);

    for (char **part = parts; *part != NULL; part++)
        root = cvd_node_get_member(root, *part);
    return root;
}

static void report(const Check *check, const char *path, const char *here, const char *there)
{
    g_autofree char *here_short = cvd_shorten(here, CVD_PLACE_MAX_QUOTED);
    g_autofree char *there_short = cvd_shorten(there, CVD_PLACE_MAX_QUOTED);

    cvd_problem(check->problems, "%s: is %s, and in snapshot %s %s; " REMEDY, path, here_short,
                check->restore->name, there_short);
}

static guint get_length(JsonNode *node)
{
    return node != NULL && JSON_NODE_HOLDS_ARRAY(node)
               ? json_array_get_length(json_node_get_array(node))
               : 0;
}

static JsonNode *get_element(JsonNode *node, guint index)
{
    return index < get_length(node) ? json_array_get_element(json_node_get_array(node), index)
                                    : NULL;
}

/* Of lists the first element that differs. */
static void compare(const Check *check, const char *path, JsonNode *here, JsonNode *there)
{
    g_autofree char *here_text = print(here);
    g_autofree char *there_text = print(there);
    guint n = MAX(get_length(here), get_length(there));

    if (strcmp(here_text, there_text) == 0)
        return;
    for (guint i = 0; i < n; i++) {
        g_autofree char *here_element = print(get_element(here, i));
        g_autofree char *there_element = print(get_element(there, i));
        g_autofree char *path_of_element = g_strdup_printf("%s[%u]", path, i);
        if (strcmp(here_element, there_element) == 0)
            continue;
        report(check, path_of_element, here_element, there_element);
        return;
    }
    report(check, path, here_text, there_text);
}

/* The type may be written as an alias, or in full. */
static gboolean is_same_machine(const CvdRestore *restore, const char *here, const char *there)
{
    gsize length = strlen(restore->info->machine);

    return strcmp(here, there) == 0 || (strncmp(here, restore->info->machine, length) == 0 &&
                                        strcmp(here + length, there + strcspn(there, ",")) == 0);
}

/* @there: the snapshot's configuration, which has every key */
static void compare_all(const Check *check, const CvdConfig *config, JsonNode *there)
{
    g_autoptr(JsonNode) here = cvd_keys_print(cvd_keys, config);
    const char *machine = cvd_node_get_string(find(there, "qemu.machine"));
    gboolean has_same_machine =
        machine != NULL && is_same_machine(check->restore, config->qemu.machine, machine);

    for (gsize i = 0; i < G_N_ELEMENTS(fixed); i++)
        if (strcmp(fixed[i], "qemu.machine") != 0 || !has_same_machine)
            compare(check, fixed[i], find(here, fixed[i]), find(there, fixed[i]));
}

/* ---- Layout ---- */

/* Shows the first line that differs. */
static void report_layout(const Check *check, const CvdConfig *config, const char *path)
{
    CvdConfigSource source = cvd_restore_get_source(check->restore, path);
    g_autoptr(CvdConfig) saved = cvd_config_load(&source, check->problems);
    g_autofree char *here_text = cvd_layout_to_text(config->layout);
    g_autofree char *there_text =
        saved != NULL ? cvd_layout_to_text(saved->layout) : g_strdup(here_text);
    g_auto(GStrv) here = g_strsplit(here_text, "\n", -1);
    g_auto(GStrv) there = g_strsplit(there_text, "\n", -1);
    guint i = 0;

    while (here[i] != NULL && g_strcmp0(here[i], there[i]) == 0)
        i++;
    if (here[i] != NULL || there[i] != NULL)
        cvd_problem(
            check->problems, "layout: is not that of snapshot %s: '%s', and there '%s'; " REMEDY,
            check->restore->name, here[i] != NULL ? here[i] : "", there[i] != NULL ? there[i] : "");
    else
        cvd_problem(check->problems,
                    "layout: cvd-launch %s makes another window of it than %s did, which took "
                    "snapshot %s; use that version, or take the snapshot anew",
                    CVD_VERSION, check->restore->info->product_version, check->restore->name);
}

static void check_layout(const Check *check, const CvdConfig *config, const char *path)
{
    g_autofree char *here = cvd_layout_digest(config->layout);

    if (strcmp(here, check->restore->info->layout_digest) != 0)
        report_layout(check, config, path);
}

/* ---- Disks ---- */

static gboolean has_blockdev(const CvdConfig *config, const char *node_name)
{
    for (char **text = config->qemu.blockdevs; *text != NULL; text++) {
        g_autoptr(JsonNode) node = cvd_json_from_string(*text, NULL);
        if (g_strcmp0(cvd_node_get_string(cvd_node_get_member(node, "node-name")), node_name) == 0)
            return TRUE;
    }
    return FALSE;
}

static void check_disks(const Check *check, const CvdConfig *config)
{
    const GPtrArray *disks = check->restore->info->disks;

    for (guint i = 0; i < disks->len; i++)
        if (!has_blockdev(config, g_ptr_array_index(disks, i)))
            cvd_problem(check->problems,
                        "qemu.blockdevs: has no \"node-name\" \"%s\", which snapshot %s has as a "
                        "disk; " REMEDY,
                        (const char *)g_ptr_array_index(disks, i), check->restore->name);
}

/* ---- All of it ---- */

/* What the snapshot says of itself. */
static void check_metadata(const Check *check, const CvdConfig *config)
{
    guint64 saved = check->restore->info->memory_bytes;
    g_autofree char *here = cvd_format_size(config->qemu.memory_bytes);
    g_autofree char *there = cvd_format_size(saved);

    if (!config->ivshmem_migratable)
        report(check, "ivshmem.migratable", "false", "true");
    if (config->qemu.memory_bytes != saved)
        report(check, "qemu.memory", here, there);
}

gboolean cvd_restore_check(const CvdRestore *restore, const CvdConfig *config, GPtrArray *problems)
{
    guint n_before = problems->len;
    const Check check = {restore, problems};
    g_autofree char *path = cvd_restore_get_config_path(restore);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) saved = cvd_json_load(path, NULL, NULL, &error);

    if (saved != NULL)
        compare_all(&check, config, saved);
    else
        cvd_problem(problems, "%s", error->message);
    check_metadata(&check, config);
    if (config->layout != NULL)
        check_layout(&check, config, path);
    check_disks(&check, config);
    return problems->len == n_before;
}
