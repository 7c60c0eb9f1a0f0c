// Found before the system's header of that name, which it includes. Debian 12's is older than what the inference library is
// written for, and lacks three names of one extension; without the validation layers nothing reads what they hold.
#pragma once

#include_next <vulkan/vulkan.hpp>

#ifndef VK_EXT_layer_settings
#include <cstdint>

namespace VULKAN_HPP_NAMESPACE {

enum class LayerSettingTypeEXT : std::uint32_t { eBool32 = 0 };

struct LayerSettingEXT {
    const char * pLayerName;
    const char * pSettingName;
    LayerSettingTypeEXT type;
    std::uint32_t valueCount;
    const void * pValues;
};

struct LayerSettingsCreateInfoEXT {
    template <typename Settings>
    explicit LayerSettingsCreateInfoEXT(const Settings & settings)
        : settingCount(static_cast<std::uint32_t>(settings.size())), pSettings(settings.data()) {}

    // VK_STRUCTURE_TYPE_LAYER_SETTINGS_CREATE_INFO_EXT.
    VkStructureType sType = static_cast<VkStructureType>(1000496000);
    const void * pNext = nullptr;
    std::uint32_t settingCount;
    const LayerSettingEXT * pSettings;
};

}
#endif
