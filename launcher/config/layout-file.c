/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads both forms of vsoc_mem.json by one set of tables: what the servers of 2017 accepted is the
 * current form with more keys and with numbers that may be strings.
 *
 * All problems are to come out in one go, those of the rules too. So when the reading found some,
 * the rules still judge what could be read; and what they say of a value that is broken already
 * (remembered by its JSON path), or that follows from it, is left out.
 */
#include "launcher/config/layout-file.h"

#include "base/json.h"
#include "base/log.h"

#include <string.h>

/* A file while it is read. */
typedef struct {
    CvdLayoutFile file;
    CvdReader reader; /* the configuration's, but with broken paths of this file alone */
    gboolean has_regions;
    gboolean a_name_is_broken;
    int major; /* as declared; −1: not */
    int minor;
} Draft;

/* Whether @text is digits, with or without a minus. */
static gboolean is_decimal(const char *text)
{
    const char *digits = text + (text[0] == '-');

    return *digits && strspn(digits, "0123456789") == strlen(digits);
}

/* An integer, or a string with one, that fits; the least gint64 stands for "not given". */
static gboolean integer_of(JsonNode *node, gint64 *value)
{
    const char *text = cvd_node_get_string(node);

    if (text)
        return is_decimal(text) &&
               g_ascii_string_to_signed(text, 10, -G_MAXINT64, G_MAXINT64, value, NULL);
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64)
        return FALSE;
    *value = json_node_get_int(node);
    return *value != CVD_UNSET;
}

/* Into a gint64. The range is only told: whether the number keeps to it is for the rules to say. */
static void read_integer(const CvdPlace *place, JsonNode *node, const CvdField *field,
                         gpointer target)
{
    gint64 *slot = G_STRUCT_MEMBER_P(target, field->offset);
    gint64 value;

    if (!integer_of(node, &value))
        cvd_place_found_number(place, node, field);
    else if (*slot != CVD_UNSET && *slot != value)
        cvd_place_problem(place, "%" G_GINT64_FORMAT " was given before; keep one of them", *slot);
    else
        *slot = value;
}

/* A size may also have one of K, M and G after it, as in the other files. */
static void read_region_size(const CvdPlace *place, JsonNode *node, const CvdField *field,
                             gpointer target)
{
    const char *text = cvd_node_get_string(node);
    guint64 bytes;

    if (text && !is_decimal(text) && cvd_parse_size(text, &bytes) && bytes <= G_MAXINT64)
        G_STRUCT_MEMBER(gint64, target, field->offset) = (gint64)bytes;
    else
        read_integer(place, node, field, target);
}

/* The layout descriptor's, which may stand in two places. */
static void read_spec_integer(const CvdPlace *place, JsonNode *node, const CvdField *field,
                              gpointer target)
{
    const Draft *draft = target;

    read_integer(place, node, field, draft->file.spec);
}

/* `size` of the files of 2017 may be prose for people: then it says nothing. */
static void read_size(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *text = cvd_node_get_string(node);

    if (!text || is_decimal(text))
        read_spec_integer(place, node, field, target);
}

static void read_version_part(const CvdPlace *place, JsonNode *node, const CvdField *field,
                              gpointer target)
{
    gint64 value;

    if (integer_of(node, &value) && value >= 0 && value <= (gint64)field->max)
        G_STRUCT_MEMBER(int, target, field->offset) = (int)value;
    else
        cvd_place_found_number(place, node, field);
}

/* `version` of the oldest files: a number or a text, only ever told of. */
static void read_version(const CvdPlace *place, JsonNode *node, const CvdField *field,
                         gpointer target)
{
    const char *text = cvd_node_get_string(node);

    if (text)
        cvd_store_string(target, field->offset, cvd_escape_bytes(text, strlen(text)));
    else if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) != G_TYPE_BOOLEAN)
        cvd_store_string(target, field->offset, cvd_json_to_string(node, FALSE));
    else
        cvd_place_found(place, node, "a version, as a number or a string");
}

static void read_words(const CvdPlace *place, JsonNode *node, const CvdField *field,
                       gpointer target)
{
    g_auto(GStrv) words = NULL;

    cvd_read_strings(place, node, &(CvdField){.key = field->key}, &words);
    if (words && *words)
        cvd_store_string(target, field->offset, g_strjoinv(" ", words));
}

/* clang-format off */
#define COMMENTS \
    {.key = "comment", .read = cvd_read_nothing}, \
    {.key = "__comment", .read = cvd_read_nothing}
#define REGION_INTEGER(NAME, FIELD, MIN, MAX) \
    {.key = NAME, .read = read_integer, .offset = G_STRUCT_OFFSET(CvdRegionSpec, FIELD), \
     .min = MIN, .max = MAX}
#define SPEC_INTEGER(NAME, READ, FIELD, MIN, MAX) \
    {.key = NAME, .read = READ, .offset = G_STRUCT_OFFSET(CvdLayoutSpec, FIELD), \
     .min = MIN, .max = MAX}
#define DESCRIPTOR_FIELDS \
    {.key = "major_version", .read = read_version_part, .offset = G_STRUCT_OFFSET(Draft, major), \
     .max = G_MAXUINT16}, \
    {.key = "minor_version", .read = read_version_part, .offset = G_STRUCT_OFFSET(Draft, minor), \
     .max = G_MAXUINT16}, \
    SPEC_INTEGER("size", read_size, declared_size, 0, CVD_MAX_WINDOW_SIZE), \
    SPEC_INTEGER("region_count", read_spec_integer, region_count, 1, CVD_MAX_REGIONS), \
    SPEC_INTEGER("vsoc_region_desc_offset", read_spec_integer, region_desc_offset, 16, \
                 CVD_MAX_WINDOW_SIZE)

static const CvdField to_host_fields[] = {
    REGION_INTEGER("num_nodes_lg2", guest_to_host_nodes_lg2, 0, 16),
    COMMENTS,
    {.key = NULL},
};

static const CvdField to_guest_fields[] = {
    REGION_INTEGER("num_nodes_lg2", host_to_guest_nodes_lg2, 0, 16),
    COMMENTS,
    {.key = NULL},
};

static const CvdField region_fields[] = {
    {.key = "device_name", .read = cvd_read_any_string,
     .offset = G_STRUCT_OFFSET(CvdRegionSpec, name)},
    REGION_INTEGER("current_version", current_version, 0, G_MAXUINT16),
    REGION_INTEGER("min_compatible_version", min_compatible_version, 0, G_MAXUINT16),
    {.key = "region_size", .read = read_region_size,
     .offset = G_STRUCT_OFFSET(CvdRegionSpec, size), .min = CVD_PAGE_SIZE,
     .max = CVD_MAX_WINDOW_SIZE},
    REGION_INTEGER("region_begin_offset", begin, 0, CVD_MAX_WINDOW_SIZE),
    REGION_INTEGER("region_end_offset", end, 0, CVD_MAX_WINDOW_SIZE),
    {.key = "guest_to_host_signal_table", .read = cvd_read_object, .fields = to_host_fields},
    {.key = "host_to_guest_signal_table", .read = cvd_read_object, .fields = to_guest_fields},
    {.key = "managed_by", .read = cvd_read_any_string,
     .offset = G_STRUCT_OFFSET(CvdRegionSpec, managed_by)},
    COMMENTS,
    {.key = NULL},
};

static const CvdField guest_fields[] = {
    {.key = "vmm_path", .read = cvd_read_name_or_path,
     .offset = G_STRUCT_OFFSET(Draft, file.vmm_path)},
    {.key = "kernel_command_line", .read = read_words,
     .offset = G_STRUCT_OFFSET(Draft, file.kernel_command_line)},
    COMMENTS,
    {.key = NULL},
};

static const CvdField descriptor_fields[] = {
    DESCRIPTOR_FIELDS,
    COMMENTS,
    {.key = NULL},
};
/* clang-format on */

static void read_descriptor(const CvdPlace *place, JsonNode *node, const CvdField *field,
                            gpointer target)
{
    Draft *draft = target;

    draft->file.has_descriptor = TRUE;
    cvd_read_object(place, node, field, draft);
}

/* An element that cannot be read still counts, so that indices and the number of regions hold. */
static void read_regions(const CvdPlace *place, JsonNode *node, const CvdField *field,
                         gpointer target)
{
    Draft *draft = target;

    draft->has_regions = TRUE;
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        cvd_place_found(place, node, "a list of regions");
        return;
    }
    JsonArray *array = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *element = json_array_get_element(array, i);
        g_autofree char *path = NULL;
        CvdPlace child = cvd_place_element(place, i, element, &path);
        CvdRegionSpec *region = cvd_layout_spec_add_region(draft->file.spec);
        guint n_before = draft->reader.problems->len;
        cvd_fields_read(&child, element, region_fields, region);
        if (!region->name && draft->reader.problems->len > n_before)
            draft->a_name_is_broken = TRUE;
    }
}

/* clang-format off */
static const CvdField root_fields[] = {
    {.key = "vsoc_device_regions", .read = read_regions},
    {.key = "vsoc_shm_layout_descriptor", .read = read_descriptor, .fields = descriptor_fields},
    {.key = "guest", .read = cvd_read_object, .fields = guest_fields},
    {.key = "version", .read = read_version,
     .offset = G_STRUCT_OFFSET(Draft, file.declared_version)},
    DESCRIPTOR_FIELDS,
    COMMENTS,
    {.key = NULL},
};
/* clang-format on */

/* Whether the value at @path, or something that it is part of, had a problem. */
static gboolean is_broken(const Draft *draft, const char *path)
{
    g_autofree char *part = g_strdup(path);

    for (gsize length = strlen(part); length > 0; length--) {
        if (part[length] != '\0' && part[length] != '.' && part[length] != '[')
            continue;
        part[length] = '\0';
        if (g_hash_table_contains(draft->reader.broken, part))
            return TRUE;
    }
    return g_hash_table_contains(draft->reader.broken, "");
}

static void read_root(Draft *draft, const CvdPlace *outside)
{
    CvdPlace place = *outside;
    g_autofree char *path = NULL;

    place.reader = &draft->reader;
    cvd_fields_read(&place, draft->file.root, root_fields, draft);
    CvdPlace regions = cvd_place_member(&place, "vsoc_device_regions", NULL, &path);
    if (!draft->has_regions && !is_broken(draft, path))
        cvd_place_problem(&regions, "missing; give a list of regions");
    if (draft->major >= 0 || draft->minor >= 0)
        cvd_store_string(draft, G_STRUCT_OFFSET(Draft, file.declared_version),
                         g_strdup_printf("%d.%d", MAX(draft->major, 0), MAX(draft->minor, 0)));
}

/* Where a problem of the rules is; only the layout descriptor's fields may be in two places. */
static CvdPlace place_of(const CvdLayoutFile *file, const CvdPlace *place,
                         const CvdLayoutProblem *problem, char **storage)
{
    static const char *const outside[] = {"vsoc_device_regions", "window.size", NULL};
    const char *field = problem->field;
    g_autofree char *path = NULL;

    if (problem->region >= 0)
        path = g_strdup_printf("vsoc_device_regions[%d]%s%s", problem->region, field ? "." : "",
                               field ? field : "");
    else if (field && file->has_descriptor && !g_strv_contains(outside, field))
        path = g_strdup_printf("vsoc_shm_layout_descriptor.%s", field);
    else
        path = g_strdup(field ? field : "vsoc_device_regions");
    return cvd_place_find(place, file->root, path, storage);
}

/* Whether a problem of the rules, which is at @path, comes from a value that could not be read. */
static gboolean follows(const Draft *draft, const char *path, const CvdLayoutProblem *problem)
{
    if (is_broken(draft, path))
        return TRUE;
    if (g_strcmp0(problem->field, "managed_by") == 0)
        return draft->a_name_is_broken;
    if (g_strcmp0(problem->field, "min_compatible_version") == 0) {
        gsize n_above = strlen(path) - strlen(problem->field);
        g_autofree char *current = g_strdup_printf("%.*scurrent_version", (int)n_above, path);
        return is_broken(draft, current);
    }
    return FALSE;
}

/* @draft: what was read in vain, or NULL */
static CvdLayout *apply_rules(const CvdLayoutFile *file, const CvdLayoutSpec *spec,
                              const CvdPlace *place, const Draft *draft)
{
    g_autoptr(GPtrArray) broken_rules =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
    CvdLayout *layout = cvd_layout_new(spec, broken_rules);

    for (guint i = 0; i < broken_rules->len; i++) {
        const CvdLayoutProblem *problem = g_ptr_array_index(broken_rules, i);
        g_autofree char *path = NULL;
        CvdPlace found = place_of(file, place, problem, &path);
        if (!draft || !follows(draft, path, problem))
            cvd_place_problem(&found, "%s", problem->message);
    }
    return layout;
}

/* By its unknown keys; the file of the Python prototype has some in every region. */
static gboolean is_prototype(GHashTable *broken)
{
    GHashTableIter iter;
    gpointer path;

    g_hash_table_iter_init(&iter, broken);
    while (g_hash_table_contains(broken, "qemu") && g_hash_table_iter_next(&iter, &path, NULL))
        if (g_str_has_suffix(path, ".num_nodes") || g_str_has_suffix(path, ".offset"))
            return TRUE;
    return FALSE;
}

CvdLayoutFile *cvd_layout_file_parse(const CvdPlace *place, JsonNode *root)
{
    g_autoptr(GHashTable) broken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    guint n_before = place->reader->problems->len;
    Draft draft = {
        .file = {.root = json_node_ref(root), .spec = cvd_layout_spec_new()},
        .reader = *place->reader,
        .major = -1,
        .minor = -1,
    };
    draft.reader.broken = broken;
    read_root(&draft, place);
    g_autoptr(CvdLayoutFile) file = g_memdup2(&draft.file, sizeof(CvdLayoutFile));
    if (place->reader->problems->len == n_before)
        return g_steal_pointer(&file);
    if (is_prototype(broken)) {
        g_ptr_array_set_size(place->reader->problems, (gint)n_before);
        cvd_place_problem(place,
                          "a file of the Python prototype (qemu, num_nodes, offset), which is "
                          "another format; cvd-launch(1) describes this one");
        return NULL;
    }
    cvd_layout_unref(apply_rules(file, file->spec, place, &draft));
    return NULL;
}

void cvd_layout_file_free(CvdLayoutFile *file)
{
    if (!file)
        return;
    json_node_unref(file->root);
    cvd_layout_spec_free(file->spec);
    g_free(file->vmm_path);
    g_free(file->kernel_command_line);
    g_free(file->declared_version);
    g_free(file);
}

CvdLayout *cvd_layout_file_compute(const CvdLayoutFile *file, const CvdPlace *place,
                                   guint64 min_window_size, guint64 granule)
{
    CvdLayoutSpec spec = *file->spec;

    spec.granule = granule;
    if (min_window_size > 0)
        spec.min_window_size = (gint64)MIN(min_window_size, (guint64)G_MAXINT64);
    return apply_rules(file, &spec, place, NULL);
}
