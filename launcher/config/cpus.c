/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/cpus.h"

#include "launcher/config/qemu.h"

#define EXPECTED                                                                                   \
    "numbers of processors below " G_STRINGIFY(CVD_MAX_PROCESSORS) ", such as \"0-3,8\""

/* Returns: (nullable): the list that @node is */
static char *get_list(JsonNode *node)
{
    const char *string = cvd_node_get_string(node);
    CvdProcessors processors = {0};
    g_autofree char *list = cvd_node_is_integer(node)
                                ? g_strdup_printf("%jd", json_node_get_int(node))
                                : g_strdup(string ? string : "");

    return cvd_processors_parse(list, &processors) ? g_steal_pointer(&list) : NULL;
}

static void read_pin(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autofree char *only = get_list(node);
    CvdElement element = {0};

    if (only) {
        g_strv_builder_add(builder, only);
    } else if (!JSON_NODE_HOLDS_ARRAY(node) ||
               json_array_get_length(json_node_get_array(node)) == 0) {
        cvd_place_found(place, node, EXPECTED ", or a list with one of these for each vCPU");
        return;
    }
    while (cvd_place_next(place, node, &element)) {
        g_autofree char *list = get_list(element.node);
        if (list)
            g_strv_builder_add(builder, list);
        else
            cvd_place_found(&element.place, element.node, EXPECTED);
    }
    cvd_strings_take(slot, builder);
}

static JsonNode *print_pin(const CvdKey *key, gconstpointer slot)
{
    char **lists = *(char **const *)slot;

    if (!lists)
        return NULL;
    return lists[1] ? cvd_strings_print(key, slot) : cvd_string_node(lists[0]);
}

CvdProcessors cvd_cpus_get_all(const CvdCpus *cpus)
{
    CvdProcessors all = {0};

    for (char **list = cpus->pin; *list; list++)
        cvd_processors_parse(*list, &all);
    return all;
}

CvdControlGroupLimits cvd_cpus_get_limits(const CvdQemuConfig *qemu)
{
    return (CvdControlGroupLimits){.weight = qemu->cpus.weight,
                                   .memory_bytes = qemu->memory_limit_bytes};
}

/* What a group of machines still has to put in is no list yet. */
#define LIST_SCHEMA                                                                                \
    "{'type': 'integer', 'minimum': 0, 'maximum': 8191},"                                          \
    " {'type': 'string', 'anyOf': [{'pattern': '" CVD_PROCESSORS_PATTERN "'},"                     \
    " {'pattern': '[$][{]'}]}"

/* clang-format off */
const CvdType cvd_type_pin = {read_pin, print_pin, cvd_strings_clear,
    "{'anyOf': [" LIST_SCHEMA ","
    " {'type': 'array', 'minItems': 1, 'items': {'anyOf': [" LIST_SCHEMA "]}}]}"};
/* clang-format on */

void cvd_cpus_check(const CvdPlace *place, JsonNode *node, const CvdQemuConfig *qemu)
{
    CvdPlace pin = cvd_place_find(place, node, "cpus.pin");
    CvdPlace smp = cvd_place_find(place, node, "smp");
    JsonNode *lists = cvd_node_get_member(cvd_node_get_member(node, "cpus"), "pin");
    guint n_lists = lists && JSON_NODE_HOLDS_ARRAY(lists)
                        ? json_array_get_length(json_node_get_array(lists))
                        : 0;
    guint n_vcpus = cvd_qemu_config_get_vcpus(qemu);

    if (n_lists > 0 && n_lists != n_vcpus && !cvd_place_is_broken(&smp))
        cvd_place_problem(&pin,
                          "has %u entries, and qemu.smp is %u: give one for each vCPU, or one "
                          "string for all of QEMU",
                          n_lists, n_vcpus);
}
