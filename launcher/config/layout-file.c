/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads both forms of vsoc_mem.json by one set of tables: what the servers of 2017 accepted is the
 * current form with more keys and with numbers that may be strings.
 *
 * All problems are to come out in one go, those of the rules too. So when the reading found some,
 * the rules still check what could be read; and what they say of a value that is broken already
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
    gboolean a_name_is_broken;
    int major; /* as declared; −1: not */
    int minor;
    gint64 declared_size; /* of the specification, as are the next two */
    gint64 region_count;
    gint64 region_desc_offset;
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
    *value = cvd_node_is_integer(node) ? json_node_get_int(node) : CVD_UNSET;
    return *value != CVD_UNSET;
}

/* Into a gint64. The range is only named: whether the number keeps to it is for the rules to say.
 */
static void read_integer(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    gint64 *number = slot;
    gint64 value;

    if (!integer_of(node, &value))
        cvd_found_number(place, node, key);
    else if (*number != CVD_UNSET && *number != value)
        cvd_place_problem(place, "%jd was given before; keep one of them", *number);
    else
        *number = value;
}

/* A size may also have one of K, M and G after it, as in the other files. */
static void read_region_size(const CvdPlace *place, JsonNode *node, const CvdKey *key,
                             gpointer slot)
{
    const char *text = cvd_node_get_string(node);
    guint64 bytes;
    gint64 number;

    if (text && !is_decimal(text) && cvd_parse_size(text, &bytes) && bytes <= G_MAXINT64)
        *(gint64 *)slot = (gint64)bytes;
    else if (!integer_of(node, &number))
        cvd_found_size(place, node, key);
    else
        read_integer(place, node, key, slot);
}

/* `size` of the files of 2017 may be prose for people: then it says nothing. */
static void read_size(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *text = cvd_node_get_string(node);

    if (!text || is_decimal(text))
        read_integer(place, node, key, slot);
}

static void read_version_part(const CvdPlace *place, JsonNode *node, const CvdKey *key,
                              gpointer slot)
{
    gint64 value;

    if (integer_of(node, &value) && value >= 0 && value <= (gint64)key->max)
        *(int *)slot = (int)value;
    else
        cvd_found_number(place, node, key);
}

/* `version` of the oldest files: a number or a text, which is only logged. */
static void read_version(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *text = cvd_node_get_string(node);

    if (text)
        cvd_string_take(slot, cvd_escape_bytes(text, strlen(text)));
    else if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) != G_TYPE_BOOLEAN)
        cvd_string_take(slot, cvd_json_to_string(node, FALSE));
    else
        cvd_place_found(place, node, "a version, as a number or a string");
}

static void read_words(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    g_auto(GStrv) words = NULL;

    cvd_type_strings.read(place, node, key, &words);
    if (words && *words)
        cvd_string_take(slot, g_strjoinv(" ", words));
}

/* An empty one is refused by the rules. */
static void read_name(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    if (cvd_node_get_string(node))
        cvd_string_take(slot, g_strdup(cvd_node_get_string(node)));
    else
        cvd_place_found(place, node, "a string");
}

/* An element that cannot be read still counts, so that indices and the number of regions hold. */
static void read_regions(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    Draft *draft = slot;
    CvdElement element = {0};

    if (!JSON_NODE_HOLDS_ARRAY(node))
        cvd_place_found(place, node, "a list of regions");
    while (cvd_place_next(place, node, &element)) {
        CvdRegionSpec *region = cvd_layout_spec_add_region(draft->file.spec);
        guint n_before = draft->reader.problems->len;
        cvd_keys_read(&element.place, element.node, key->elements, region);
        if (!region->name && draft->reader.problems->len > n_before)
            draft->a_name_is_broken = TRUE;
    }
}

/* clang-format off */
#define NUMBER(MORE) "{'type': 'integer', 'minimum': $min, 'maximum': $max" MORE "}"
#define TEXT(PATTERN) "{'type': 'string', 'pattern': '" PATTERN "'}"
#define EITHER(A, B) "{'anyOf': [" A ", " B "]}"

static const CvdType type_integer = {read_integer, NULL, NULL,
    EITHER(NUMBER(""), TEXT("^[0-9]+$"))};
static const CvdType type_offset = {read_integer, NULL, NULL,
    EITHER(NUMBER(", 'multipleOf': 4096"), TEXT("^[0-9]+$"))};
static const CvdType type_desc_offset = {read_integer, NULL, NULL,
    EITHER(NUMBER(", 'multipleOf': 4"), TEXT("^[0-9]+$"))};
static const CvdType type_nodes = {read_integer, NULL, NULL,
    EITHER(NUMBER(""), TEXT("^0*([0-9]|1[0-6])$"))};
static const CvdType type_region_size = {read_region_size, NULL, NULL,
    EITHER(NUMBER(", 'multipleOf': 4096"), TEXT("^0*[1-9][0-9]*[KMGkmg]?$"))};
static const CvdType type_size = {read_size, NULL, NULL,
    EITHER(NUMBER(""), "{'type': 'string', 'not': {'pattern': '^-0*[1-9][0-9]*$'}}")};
static const CvdType type_version_part = {read_version_part, NULL, NULL,
    EITHER(NUMBER(""), TEXT("^[0-9]+$"))};
static const CvdType type_version = {read_version, NULL, NULL, "{'type': ['number', 'string']}"};
static const CvdType type_words = {read_words, NULL, NULL,
    "{'type': 'array', 'items': {'type': 'string'}}"};
static const CvdType type_name = {read_name, NULL, NULL,
    "{'type': 'string', 'pattern': '^[A-Za-z0-9_.-]{1,15}$', 'not': {'enum': ['.', '..']}}"};
static const CvdType type_regions = {read_regions, NULL, NULL,
    "{'type': 'array', 'minItems': 1, 'maxItems': $max,"
    " 'anyOf': [{'items': {'required': ['region_size']}},"
    "           {'items': {'required': ['region_begin_offset', 'region_end_offset']}}],"
    " 'items': {'required': ['device_name'],"
    "           'oneOf': [{'required': ['region_size'],"
    "                      'not': {'anyOf': [{'required': ['region_begin_offset']},"
    "                                        {'required': ['region_end_offset']}]}},"
    "                     {'required': ['region_begin_offset', 'region_end_offset'],"
    "                      'not': {'required': ['region_size']}}]}}"};

#define COMMENTS \
    CVD_KEY("comment", "0.1", cvd_type_ignored, 0, NULL, NULL), \
    CVD_KEY("__comment", "0.1", cvd_type_ignored, 0, NULL, NULL)

static const CvdKey table_keys[] = {
    CVD_KEY("num_nodes_lg2", "0.1", type_nodes, 0, NULL,
            "Base-2 logarithm of the number of slots: 2 means 4 slots. 0 by default, which is one slot. Each slot holds one signal until the other side takes it.", .max = 16),
    COMMENTS,
    CVD_KEYS_END,
};

#define AT(member) G_STRUCT_OFFSET(CvdRegionSpec, member)

static const CvdKey region_keys[] = {
    CVD_KEY("device_name", "0.1", type_name, AT(name), NULL,
            "Name of the region: 1 to 15 letters, digits, '_', '-' and '.'."),
    CVD_KEY("current_version", "0.1", type_integer, AT(current_version), NULL,
            "Version of what the region contains. 0 by default.", .max = G_MAXUINT16),
    CVD_KEY("min_compatible_version", "0.1", type_integer, AT(min_compatible_version), NULL,
            "The oldest version that a program may have been written for. 0 by default.", .max = G_MAXUINT16),
    CVD_KEY("region_size", "0.1", type_region_size, AT(size), NULL,
            "Size of the region, a multiple of 4096.", .min = CVD_PAGE_SIZE, .max = CVD_MAX_WINDOW_SIZE),
    CVD_KEY("region_begin_offset", "0.1", type_offset, AT(begin), NULL,
            "Files of 2017, in place of region_size: where the region starts in the window.", .max = CVD_MAX_WINDOW_SIZE),
    CVD_KEY("region_end_offset", "0.1", type_offset, AT(end), NULL,
            "Files of 2017, in place of region_size: where the region ends in the window.", .max = CVD_MAX_WINDOW_SIZE),
    CVD_KEY("guest_to_host_signal_table", "0.1", cvd_type_object, AT(guest_to_host_nodes_lg2),
            NULL,
            "The table for signals of the guest to the host.",
            .members = table_keys),
    CVD_KEY("host_to_guest_signal_table", "0.1", cvd_type_object, AT(host_to_guest_nodes_lg2),
            NULL, "The table for signals of the host to the guest.", .members = table_keys),
    CVD_KEY("managed_by", "0.1", type_name, AT(managed_by), NULL,
            "Name of the region that manages this one. It cannot be the first region. None by default."),
    CVD_KEY("exclusive", "0.2", cvd_type_boolean, AT(is_exclusive), NULL,
            "Whether only one program at a time may have the region; others can look at it. false by default."),
    COMMENTS,
    CVD_KEYS_END,
};
#undef AT
#define AT(member) G_STRUCT_OFFSET(Draft, member)

/* What files of 2017 have in the root or in an object of its own. */
#define DESCRIPTOR_KEYS \
    CVD_KEY("major_version", "0.1", type_version_part, AT(major), NULL, \
            "Files of 2017: the layout's version.", .max = G_MAXUINT16), \
    CVD_KEY("minor_version", "0.1", type_version_part, AT(minor), NULL, \
            "Files of 2017: the layout's version.", .max = G_MAXUINT16), \
    CVD_KEY("size", "0.1", type_size, AT(declared_size), NULL, \
            "Files of 2017: the window's size in bytes, rounded up to a power of two; prose is " \
            "ignored.", \
            .max = CVD_MAX_WINDOW_SIZE), \
    CVD_KEY("region_count", "0.1", type_integer, AT(region_count), NULL, \
            "Files of 2017: how many regions there are.", .min = 1, .max = CVD_MAX_REGIONS), \
    CVD_KEY("vsoc_region_desc_offset", "0.1", type_desc_offset, AT(region_desc_offset), NULL, \
            "Files of 2017: where the regions' descriptors start.", \
            .min = 16, .max = CVD_MAX_WINDOW_SIZE)

static const CvdKey descriptor_keys[] = {
    DESCRIPTOR_KEYS,
    COMMENTS,
    CVD_KEYS_END,
};

static const CvdKey guest_keys[] = {
    CVD_KEY("vmm_path", "0.1", cvd_type_name_or_path, AT(file.vmm_path), NULL,
            "Files of 2017: the emulator, where qemu.binary is not given."),
    CVD_KEY("kernel_command_line", "0.1", type_words, AT(file.kernel_command_line), NULL,
            "Files of 2017: words for the kernel, where qemu.append is not given."),
    COMMENTS,
    CVD_KEYS_END,
};

const CvdKey cvd_layout_keys[] = {
    CVD_KEY("vsoc_device_regions", "0.1", type_regions, 0, NULL,
            "The regions, at most 2048. Their order gives the numbers of their doorbells.",
            .max = CVD_MAX_REGIONS, .elements = region_keys),
    CVD_KEY("vsoc_shm_layout_descriptor", "0.1", cvd_type_object, 0, NULL,
            "Files of 2017: what the author says of the layout.", .members = descriptor_keys),
    CVD_KEY("guest", "0.1", cvd_type_object, 0, NULL,
            "Files of 2017: emulator and kernel command line.", .members = guest_keys),
    CVD_KEY("version", "0.1", type_version, AT(file.declared_version), NULL,
            "The oldest files: only logged."),
    DESCRIPTOR_KEYS,
    COMMENTS,
    CVD_KEY("$schema", "0.2", cvd_type_schema, 0, NULL,
            "Address of the JSON Schema of this file, for editors; nothing is read from there."),
    CVD_KEYS_END,
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
    CvdLayoutFile *file = &draft->file;
    CvdPlace place = *outside;

    place.reader = &draft->reader;
    cvd_keys_read(&place, file->root, cvd_layout_keys, draft);
    CvdPlace regions = cvd_place_member(&place, "vsoc_device_regions", NULL);
    if (!cvd_node_get_member(file->root, "vsoc_device_regions") && !is_broken(draft, regions.path))
        cvd_place_problem(&regions, "missing; give a list of regions");
    if (draft->major >= 0 || draft->minor >= 0)
        cvd_string_take(&file->declared_version,
                        g_strdup_printf("%d.%d", MAX(draft->major, 0), MAX(draft->minor, 0)));
    file->spec->declared_size = draft->declared_size;
    file->spec->region_count = draft->region_count;
    file->spec->region_desc_offset = draft->region_desc_offset;
}

/* Where a problem of the rules is; only the layout descriptor's fields may be in two places. */
static CvdPlace place_of(const CvdLayoutFile *file, const CvdPlace *place,
                         const CvdLayoutProblem *problem)
{
    static const char *const outside[] = {"vsoc_device_regions", "window.size", NULL};
    const char *field = problem->field;
    g_autofree char *path = NULL;

    if (problem->region >= 0)
        path = g_strdup_printf("vsoc_device_regions[%d]%s%s", problem->region, field ? "." : "",
                               field ? field : "");
    else if (field && cvd_node_get_member(file->root, "vsoc_shm_layout_descriptor") &&
             !g_strv_contains(outside, field))
        path = g_strdup_printf("vsoc_shm_layout_descriptor.%s", field);
    else
        path = g_strdup(field ? field : "vsoc_device_regions");
    return cvd_place_find(place, file->root, path);
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
        CvdPlace found = place_of(file, place, problem);
        if (!draft || !follows(draft, found.path, problem))
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
        .declared_size = CVD_UNSET,
        .region_count = CVD_UNSET,
        .region_desc_offset = CVD_UNSET,
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
                          "another format; vsoc_mem.json(5) describes this one");
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
