/* SPDX-License-Identifier: Apache-2.0 */
#include "client/types.h"

GQuark cvd_region_error_quark(void)
{
    return g_quark_from_static_string("cvd-region-error-quark");
}

const char *cvd_region_info_get_name(const CvdRegionInfo *info)
{
    return info->name;
}
