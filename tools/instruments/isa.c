// Compiles a compute shader with Mesa's AMD driver for a card that the machine may lack, and prints the compiler's
// statistics, one line `NAME: VALUE` each. Runs nothing.
//   RADV_FORCE_FAMILY=navi31 VK_ICD_FILENAMES=…/radeon_icd.json isa SHADER.spv ENTRY BINDINGS
// BINDINGS: one letter each, S for storage and U for uniform; '/' separates groups, as in SSSS/U.
#include <stdio.h>
#include <stdlib.h>
#include <vulkan/vulkan.h>

enum { MOST_GROUPS = 4, MOST_BINDINGS = 32, MOST_STATISTICS = 64 };

static void check(VkResult result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "%s: VkResult %d\n", what, result);
  exit(1);
}

static VkPhysicalDevice null_card(void) {
  VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3};
  VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app};
  VkInstance instance;
  check(vkCreateInstance(&info, NULL, &instance), "vkCreateInstance");
  uint32_t count = 1;
  VkPhysicalDevice card = VK_NULL_HANDLE;
  check(vkEnumeratePhysicalDevices(instance, &count, &card), "vkEnumeratePhysicalDevices");
  if (count == 0) check(VK_ERROR_INITIALIZATION_FAILED, "no card");
  return card;
}

// Enables every feature of Vulkan 1.3 that the card has.
static VkDevice open_device(VkPhysicalDevice card) {
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
  VkPhysicalDeviceVulkan13Features v13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES, .pNext = &statistics};
  VkPhysicalDeviceVulkan12Features v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &v13};
  VkPhysicalDeviceVulkan11Features v11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &v12};
  VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v11};
  vkGetPhysicalDeviceFeatures2(card, &features);
  float priority = 1;
  VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
  const char *extensions[] = {"VK_KHR_pipeline_executable_properties", "VK_KHR_shader_maximal_reconvergence"};
  VkDeviceCreateInfo info = {
    .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
    .pNext = &features,
    .queueCreateInfoCount = 1,
    .pQueueCreateInfos = &queue,
    .enabledExtensionCount = 2,
    .ppEnabledExtensionNames = extensions,
  };
  VkDevice device;
  check(vkCreateDevice(card, &info, NULL, &device), "vkCreateDevice");
  return device;
}

static VkShaderModule read_shader(VkDevice device, const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) check(VK_ERROR_UNKNOWN, path);
  fseek(file, 0, SEEK_END);
  size_t size = (size_t)ftell(file);
  rewind(file);
  uint32_t *code = malloc(size);
  if (fread(code, 1, size, file) != size) check(VK_ERROR_UNKNOWN, path);
  fclose(file);
  VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = size, .pCode = code};
  VkShaderModule module;
  check(vkCreateShaderModule(device, &info, NULL, &module), "vkCreateShaderModule");
  free(code);
  return module;
}

// Params have dynamic offsets, as in the recorder.
static VkPipelineLayout layout_of(VkDevice device, const char *letters) {
  VkDescriptorSetLayout groups[MOST_GROUPS];
  uint32_t count = 0;
  for (const char *at = letters; count < MOST_GROUPS; at++, count++) {
    VkDescriptorSetLayoutBinding bindings[MOST_BINDINGS];
    uint32_t n = 0;
    for (; *at && *at != '/' && n < MOST_BINDINGS; at++, n++) {
      VkDescriptorType type = *at == 'U' ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
      bindings[n] = (VkDescriptorSetLayoutBinding){n, type, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL};
    }
    VkDescriptorSetLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = n, .pBindings = bindings};
    check(vkCreateDescriptorSetLayout(device, &info, NULL, &groups[count]), "vkCreateDescriptorSetLayout");
    if (!*at) { count++; break; }
  }
  VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = count, .pSetLayouts = groups};
  VkPipelineLayout layout;
  check(vkCreatePipelineLayout(device, &info, NULL, &layout), "vkCreatePipelineLayout");
  return layout;
}

static void print_statistics(VkDevice device, VkPipeline pipeline) {
  PFN_vkGetPipelineExecutableStatisticsKHR get =
    (PFN_vkGetPipelineExecutableStatisticsKHR)vkGetDeviceProcAddr(device, "vkGetPipelineExecutableStatisticsKHR");
  VkPipelineExecutableInfoKHR which = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
  VkPipelineExecutableStatisticKHR statistics[MOST_STATISTICS] = {0};
  for (int i = 0; i < MOST_STATISTICS; i++) statistics[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
  uint32_t count = MOST_STATISTICS;
  check(get(device, &which, &count, statistics), "vkGetPipelineExecutableStatisticsKHR");
  for (uint32_t i = 0; i < count; i++) printf("%s: %llu\n", statistics[i].name, (unsigned long long)statistics[i].value.u64);
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "isa SHADER.spv ENTRY BINDINGS\n");
    return 2;
  }
  VkDevice device = open_device(null_card());
  VkComputePipelineCreateInfo info = {
    .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
    .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR,
    .stage = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
      .stage = VK_SHADER_STAGE_COMPUTE_BIT,
      .module = read_shader(device, argv[1]),
      .pName = argv[2],
    },
    .layout = layout_of(device, argv[3]),
  };
  VkPipeline pipeline;
  check(vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline), "vkCreateComputePipelines");
  print_statistics(device, pipeline);
  return 0;
}
