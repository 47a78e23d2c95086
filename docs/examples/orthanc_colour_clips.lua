-- Orthanc sends every colour ultrasound clip that it stores to `cfd2gray serve --dicomweb`. In orthanc.json:
--   "LuaScripts": ["/etc/orthanc/orthanc_colour_clips.lua"],
--   "DicomWeb": {"Servers": {"cfd2gray": {
--     "Url": "http://127.0.0.1:8720/", "HttpHeaders": {"Authorization": "Bearer TOKEN"}}}}
-- The sending is a job of Orthanc's own (see /jobs): storing does not wait, and a job that failed can be resubmitted.

function OnStoredInstance(instance, tags, metadata)
  local colour = tags['SamplesPerPixel'] == '3' or tags['PhotometricInterpretation'] == 'PALETTE COLOR'
  if tags['Modality'] ~= 'US' or not colour then
    return
  end
  if tags['Manufacturer'] == 'cfd2gray' then  -- what came back
    return
  end
  local body = '{"Resources": ["' .. instance .. '"], "Synchronous": false}'
  RestApiPost('/dicom-web/servers/cfd2gray/stow', body, false)  -- false: of plugins, too
end
